// Written by `python -m spikepipe_core.params.export`; not edited by hand.
window.paramsSchema = {
  "$schema": "http://json-schema.org/draft-07/schema#",
  "title": "spikepipe params",
  "additionalProperties": false,
  "description": "Every setting of the pipeline, one section a step.",
  "properties": {
    "$schema": {
      "anyOf": [
        {
          "type": "string"
        },
        {
          "type": "null"
        }
      ],
      "default": null,
      "description": "Where the JSON Schema of this file lies, for editors that complete and check; no effect here."
    },
    "job_dispatch": {
      "additionalProperties": false,
      "description": "What the raw folder is and how it becomes recording jobs.",
      "properties": {
        "split_segments": {
          "default": true,
          "description": "Each recording segment is a job of its own. false: the segments of a stream are joined, in order, into one recording.",
          "type": "boolean"
        },
        "split_groups": {
          "default": true,
          "description": "Each channel group (a shank of a multi-shank probe) is a job of its own. false: one job a probe.",
          "type": "boolean"
        },
        "debug": {
          "default": false,
          "description": "Use only the first debug_duration seconds of every recording.",
          "type": "boolean"
        },
        "debug_duration": {
          "default": 30,
          "description": "Seconds that are kept when debug is on.",
          "exclusiveMinimum": 0,
          "type": "number"
        },
        "skip_timestamps_check": {
          "default": false,
          "description": "Do not judge whether the sample timestamps are regular; for data without reliable ones.",
          "type": "boolean"
        },
        "multi_session": {
          "default": false,
          "description": "The data folder holds one folder a session, each processed by itself.",
          "type": "boolean"
        },
        "input": {
          "anyOf": [
            {
              "enum": [
                "aind",
                "spikeglx",
                "openephys",
                "nwb",
                "spikeinterface"
              ],
              "type": "string"
            },
            {
              "type": "null"
            }
          ],
          "default": "openephys",
          "description": "Reader of the raw data; 'spikeinterface' reads what spikeinterface_info describes. Left out or null: the format is detected, and said."
        },
        "spikeinterface_info": {
          "anyOf": [
            {
              "additionalProperties": false,
              "description": "How to read a format that has no reader of its own here, through SpikeInterface.",
              "properties": {
                "reader_type": {
                  "description": "Name of the SpikeInterface reader ('intan', 'plexon', 'neuralynx', ...), or 'spikeinterface' for anything that spikeinterface.load() opens.",
                  "minLength": 1,
                  "type": "string"
                },
                "reader_kwargs": {
                  "anyOf": [
                    {
                      "additionalProperties": {},
                      "type": "object"
                    },
                    {
                      "items": {
                        "additionalProperties": {},
                        "type": "object"
                      },
                      "type": "array"
                    },
                    {
                      "type": "null"
                    }
                  ],
                  "default": null,
                  "description": "Keyword arguments of the reader, with the paths to read, relative to the data folder. A list: each is a session. null: the data folder."
                },
                "keep_stream_substrings": {
                  "anyOf": [
                    {
                      "type": "string"
                    },
                    {
                      "items": {
                        "type": "string"
                      },
                      "type": "array"
                    },
                    {
                      "type": "null"
                    }
                  ],
                  "default": null,
                  "description": "Only streams whose name contains one of these are read. null: all."
                },
                "skip_stream_substrings": {
                  "anyOf": [
                    {
                      "type": "string"
                    },
                    {
                      "items": {
                        "type": "string"
                      },
                      "type": "array"
                    },
                    {
                      "type": "null"
                    }
                  ],
                  "default": null,
                  "description": "Streams whose name contains one of these are left out. null: none."
                },
                "probe_paths": {
                  "anyOf": [
                    {
                      "type": "string"
                    },
                    {
                      "additionalProperties": {
                        "type": "string"
                      },
                      "type": "object"
                    },
                    {
                      "items": {
                        "anyOf": [
                          {
                            "type": "string"
                          },
                          {
                            "additionalProperties": {
                              "type": "string"
                            },
                            "type": "object"
                          },
                          {
                            "type": "null"
                          }
                        ]
                      },
                      "type": "array"
                    },
                    {
                      "type": "null"
                    }
                  ],
                  "default": null,
                  "description": "ProbeInterface JSON file with the geometry, relative to the data folder: one for all streams, or one a stream name; a list: for each of reader_kwargs. Needed where the reader finds no probe."
                },
                "session_names": {
                  "anyOf": [
                    {
                      "type": "string"
                    },
                    {
                      "items": {
                        "type": "string"
                      },
                      "type": "array"
                    },
                    {
                      "type": "null"
                    }
                  ],
                  "default": null,
                  "description": "Names of the sessions, one for each of reader_kwargs. null: those of the folders or files."
                }
              },
              "required": [
                "reader_type"
              ],
              "type": "object"
            },
            {
              "type": "string"
            },
            {
              "type": "null"
            }
          ],
          "default": null,
          "description": "What to read when input is 'spikeinterface': an object, or its JSON text."
        },
        "min_recording_duration": {
          "default": -1,
          "description": "Recordings shorter than this many seconds are skipped. -1: none is.",
          "minimum": -1,
          "type": "number"
        },
        "allow_paths_outside_data": {
          "default": false,
          "description": "Follow symbolic links, and paths inside raw files, that lead out of the data folder. Only for folders from people you trust: such a link can point to any file that this program may read.",
          "type": "boolean"
        },
        "nwb_files": {
          "anyOf": [
            {
              "type": "string"
            },
            {
              "items": {
                "type": "string"
              },
              "type": "array"
            },
            {
              "type": "null"
            }
          ],
          "default": null,
          "description": "NWB files to read when input is 'nwb': a list, or one string with commas. null: all in the data folder."
        }
      },
      "type": "object"
    },
    "preprocessing": {
      "additionalProperties": false,
      "description": "Filters, bad channels, referencing, motion.",
      "properties": {
        "job_kwargs": {
          "additionalProperties": false,
          "description": "Chunks and workers of this step.",
          "properties": {
            "chunk_duration": {
              "default": "1s",
              "description": "Length of a processing chunk with its unit, 's' or 'ms' (e.g. '1s', '500ms'). Longer chunks cost more memory and less overhead.",
              "pattern": "^(?:[0-9]+(?:\\.[0-9]+)?|\\.[0-9]+)(?:s|ms)$",
              "type": "string"
            },
            "progress_bar": {
              "default": false,
              "description": "Show a progress bar while chunks are processed.",
              "type": "boolean"
            },
            "mp_context": {
              "anyOf": [
                {
                  "enum": [
                    "fork",
                    "spawn",
                    "forkserver"
                  ],
                  "type": "string"
                },
                {
                  "type": "null"
                }
              ],
              "default": null,
              "description": "How worker processes are started. null: the platform's default."
            }
          },
          "type": "object"
        },
        "min_preprocessing_duration": {
          "default": 120,
          "description": "Recordings shorter than this many seconds are skipped.",
          "minimum": 0,
          "type": "number"
        },
        "custom_preprocessing_pipeline": {
          "anyOf": [
            {
              "additionalProperties": {
                "additionalProperties": {},
                "type": "object"
              },
              "type": "object"
            },
            {
              "type": "null"
            }
          ],
          "default": null,
          "description": "A pipeline of your own: SpikeInterface step names, in order, each with its keyword arguments. It replaces filter, phase shift, bad channels and referencing; {} means no step at all. null: the default pipeline."
        },
        "remove_stimulation_artifacts": {
          "anyOf": [
            {
              "additionalProperties": false,
              "description": "Removal of the artifacts of electrical or optical stimulation, around event times that a file gives.",
              "properties": {
                "events_file": {
                  "anyOf": [
                    {
                      "minLength": 1,
                      "type": "string"
                    },
                    {
                      "type": "null"
                    }
                  ],
                  "default": null,
                  "description": "File with the event times: a table (.csv, .tsv) or an NWB file (.nwb, .nwb.zarr). It is looked for in the folder of the raw files and in those above it, up to the data folder; the deployment's params may hold an absolute path. null: the TTL events that Open Ephys recorded beside the signal."
                },
                "events": {
                  "anyOf": [
                    {
                      "type": "string"
                    },
                    {
                      "type": "null"
                    }
                  ],
                  "default": null,
                  "description": "Which of its events: a column of the table, an object in the NWB file, or a TTL line ('2', or '<stream folder>/2'). null: the only ones there are; of a table the columns start_time and stop_time, else the first column."
                },
                "edge": {
                  "default": "rising",
                  "description": "Which edges of a TTL line of Open Ephys are events.",
                  "enum": [
                    "rising",
                    "falling",
                    "both"
                  ],
                  "type": "string"
                },
                "times_from": {
                  "default": "clock",
                  "description": "What the times (s) in a file count from. 'clock': the recording's own clock, on which its spike times are; 'start': the first sample of the raw recording.",
                  "enum": [
                    "clock",
                    "start"
                  ],
                  "type": "string"
                },
                "ms_before": {
                  "default": 0.5,
                  "description": "Removed before each event (or interval), in ms.",
                  "minimum": 0,
                  "type": "number"
                },
                "ms_after": {
                  "default": 3.0,
                  "description": "Removed after each event (or interval), in ms.",
                  "minimum": 0,
                  "type": "number"
                },
                "mode": {
                  "default": "linear",
                  "description": "'linear' and 'cubic' bridge the gap before the temporal filter, which then has nothing to ring with. 'zeros' (the only mode for intervals besides 'linear'), and 'median' and 'average' (the mean artifact is subtracted, spikes under it are kept), act on the filtered traces.",
                  "enum": [
                    "linear",
                    "cubic",
                    "zeros",
                    "median",
                    "average"
                  ],
                  "type": "string"
                }
              },
              "type": "object"
            },
            {
              "type": "null"
            }
          ],
          "default": null,
          "description": "Take out stimulation artifacts around the events of a file. null: none are."
        },
        "blank_saturation": {
          "anyOf": [
            {
              "additionalProperties": false,
              "description": "Silencing of stretches in which the amplifiers were saturated, after all other steps.",
              "properties": {
                "saturation_threshold_uV": {
                  "anyOf": [
                    {
                      "exclusiveMinimum": 0,
                      "type": "number"
                    },
                    {
                      "type": "null"
                    }
                  ],
                  "default": null,
                  "description": "A sample beyond this (uV, raw signal) is saturated. null: what the probe's metadata say, which Neuropixels have."
                },
                "diff_threshold_uV": {
                  "anyOf": [
                    {
                      "exclusiveMinimum": 0,
                      "type": "number"
                    },
                    {
                      "type": "null"
                    }
                  ],
                  "default": null,
                  "description": "A step between two samples of more than this (uV) is saturation too. null: not looked at; the IBL takes 300 for Neuropixels 1.0."
                },
                "proportion": {
                  "default": 0.2,
                  "description": "Share of channels that must be saturated at the same time.",
                  "exclusiveMaximum": 1,
                  "exclusiveMinimum": 0,
                  "type": "number"
                },
                "ms_before": {
                  "default": 5.0,
                  "description": "Silenced before each stretch, in ms: as long as the temporal filter rings, about 5 ms at 300 Hz.",
                  "minimum": 0,
                  "type": "number"
                },
                "ms_after": {
                  "default": 5.0,
                  "description": "Silenced after each stretch, in ms.",
                  "minimum": 0,
                  "type": "number"
                }
              },
              "type": "object"
            },
            {
              "type": "null"
            }
          ],
          "default": null,
          "description": "Silence stretches in which the amplifiers were saturated; {} takes the probe's own limit. Reads the whole recording once more. null: nothing is silenced."
        },
        "denoising_strategy": {
          "default": "cmr",
          "description": "'cmr': common reference (common_reference); 'destripe': highpass_spatial_filter.",
          "enum": [
            "cmr",
            "destripe"
          ],
          "type": "string"
        },
        "filter_type": {
          "default": "highpass",
          "description": "Temporal filter: 'highpass' (highpass_filter) or 'bandpass' (bandpass_filter).",
          "enum": [
            "highpass",
            "bandpass"
          ],
          "type": "string"
        },
        "highpass_filter": {
          "additionalProperties": true,
          "description": "The filter when filter_type is 'highpass'.",
          "properties": {
            "freq_min": {
              "default": 300.0,
              "description": "Cutoff in Hz.",
              "exclusiveMinimum": 0,
              "type": "number"
            },
            "margin_ms": {
              "default": 5.0,
              "description": "Margin in ms read around each chunk against edge artifacts.",
              "minimum": 0,
              "type": "number"
            }
          },
          "type": "object"
        },
        "bandpass_filter": {
          "additionalProperties": true,
          "description": "The filter when filter_type is 'bandpass'.",
          "properties": {
            "freq_min": {
              "default": 300.0,
              "description": "Lower cutoff in Hz.",
              "exclusiveMinimum": 0,
              "type": "number"
            },
            "freq_max": {
              "default": 6000.0,
              "description": "Upper cutoff in Hz, above freq_min.",
              "exclusiveMinimum": 0,
              "type": "number"
            },
            "margin_ms": {
              "default": 5.0,
              "description": "Margin in ms read around each chunk against edge artifacts.",
              "minimum": 0,
              "type": "number"
            }
          },
          "type": "object"
        },
        "phase_shift": {
          "additionalProperties": true,
          "description": "Correction of the ADCs' sampling times.",
          "properties": {
            "margin_ms": {
              "default": 100.0,
              "description": "Margin in ms read around each chunk for the shift.",
              "minimum": 0,
              "type": "number"
            }
          },
          "type": "object"
        },
        "detect_bad_channels": {
          "additionalProperties": true,
          "description": "How bad channels are found.",
          "properties": {
            "method": {
              "default": "coherence+psd",
              "description": "'coherence+psd' finds dead, noisy and outside channels from their coherence with neighbours and their spectrum; the others find noisy ones only.",
              "enum": [
                "coherence+psd",
                "std",
                "mad",
                "neighborhood_r2"
              ],
              "type": "string"
            },
            "dead_channel_threshold": {
              "default": -0.5,
              "description": "A channel whose similarity to its neighbours lies below this is dead.",
              "type": "number"
            },
            "noisy_channel_threshold": {
              "default": 1.0,
              "description": "A channel whose similarity to its neighbours lies above this is noisy.",
              "type": "number"
            },
            "outside_channel_threshold": {
              "default": -0.3,
              "description": "End-of-probe channels whose spectral feature lies below this are outside the brain.",
              "type": "number"
            },
            "outside_channels_location": {
              "default": "top",
              "description": "Which end of the probe may lie outside the brain.",
              "enum": [
                "top",
                "bottom",
                "both"
              ],
              "type": "string"
            },
            "n_neighbors": {
              "default": 11,
              "description": "Neighbours in the local median (an odd number).",
              "minimum": 1,
              "type": "integer"
            },
            "seed": {
              "anyOf": [
                {
                  "minimum": 0,
                  "type": "integer"
                },
                {
                  "type": "null"
                }
              ],
              "default": 0,
              "description": "Seed of the random choice of chunks. null: another choice each time."
            }
          },
          "type": "object"
        },
        "remove_out_channels": {
          "default": true,
          "description": "Remove channels outside the brain.",
          "type": "boolean"
        },
        "remove_bad_channels": {
          "default": true,
          "description": "Remove dead and noisy channels.",
          "type": "boolean"
        },
        "max_bad_channel_fraction": {
          "default": 0.5,
          "description": "A recording with a larger share of bad channels than this is skipped.",
          "maximum": 1,
          "minimum": 0,
          "type": "number"
        },
        "common_reference": {
          "additionalProperties": true,
          "description": "The reference when denoising_strategy is 'cmr'.",
          "properties": {
            "reference": {
              "default": "global",
              "description": "'global': all good channels of the probe; 'local': those in a ring around each.",
              "enum": [
                "global",
                "local"
              ],
              "type": "string"
            },
            "operator": {
              "default": "median",
              "description": "What is subtracted; the median tolerates outlying channels.",
              "enum": [
                "median",
                "average"
              ],
              "type": "string"
            }
          },
          "type": "object"
        },
        "highpass_spatial_filter": {
          "additionalProperties": true,
          "description": "The spatial filter when denoising_strategy is 'destripe'.",
          "properties": {
            "n_channel_pad": {
              "default": 60,
              "description": "Channels mirrored at each end.",
              "minimum": 0,
              "type": "integer"
            },
            "n_channel_taper": {
              "anyOf": [
                {
                  "minimum": 0,
                  "type": "integer"
                },
                {
                  "type": "null"
                }
              ],
              "default": null,
              "description": "Channels over which the ends are tapered. null: as many as n_channel_pad."
            },
            "direction": {
              "default": "y",
              "description": "Axis of the probe along which to filter; y is depth.",
              "enum": [
                "x",
                "y",
                "z"
              ],
              "type": "string"
            },
            "apply_agc": {
              "default": true,
              "description": "Even out the gain over time before the filter.",
              "type": "boolean"
            },
            "agc_window_length_s": {
              "default": 0.01,
              "description": "Window in seconds of that gain control.",
              "exclusiveMinimum": 0,
              "type": "number"
            },
            "highpass_butter_order": {
              "default": 3,
              "description": "Order of the Butterworth filter.",
              "minimum": 1,
              "type": "integer"
            },
            "highpass_butter_wn": {
              "default": 0.01,
              "description": "Cutoff as a fraction of the spatial Nyquist frequency.",
              "exclusiveMaximum": 1,
              "exclusiveMinimum": 0,
              "type": "number"
            }
          },
          "type": "object"
        },
        "motion_correction": {
          "additionalProperties": false,
          "description": "Estimate and correction of probe drift.",
          "properties": {
            "compute": {
              "default": true,
              "description": "Estimate the motion and save it with the results.",
              "type": "boolean"
            },
            "apply": {
              "default": false,
              "description": "Interpolate the traces by the estimate before sorting. false: the estimate is only saved; postprocessing.use_motion_corrected can use it later.",
              "type": "boolean"
            },
            "preset": {
              "default": "dredge_fast",
              "description": "SpikeInterface's named recipe for the whole estimate.",
              "enum": [
                "dredge",
                "dredge_fast",
                "nonrigid_accurate",
                "nonrigid_fast_and_accurate",
                "rigid_fast",
                "kilosort_like"
              ],
              "type": "string"
            },
            "detect_kwargs": {
              "additionalProperties": {},
              "default": {},
              "description": "Changes to the preset's peak detection. {}: the preset's own.",
              "type": "object"
            },
            "select_kwargs": {
              "additionalProperties": {},
              "default": {},
              "description": "Changes to the preset's peak selection. {}: the preset's own.",
              "type": "object"
            },
            "localize_peaks_kwargs": {
              "additionalProperties": {},
              "default": {},
              "description": "Changes to the preset's peak localization. {}: the preset's own.",
              "type": "object"
            },
            "estimate_motion_kwargs": {
              "additionalProperties": {},
              "default": {
                "win_step_norm": 0.1,
                "win_scale_norm": 0.1
              },
              "description": "Changes to the preset's motion estimate; win_step_norm and win_scale_norm are the step and the width of the depth windows as fractions of the probe's length. {}: the preset's own.",
              "type": "object"
            },
            "interpolate_motion_kwargs": {
              "additionalProperties": {},
              "default": {},
              "description": "Changes to the interpolation of the traces. {}: the preset's own.",
              "type": "object"
            }
          },
          "type": "object"
        },
        "t_start": {
          "anyOf": [
            {
              "minimum": 0,
              "type": "number"
            },
            {
              "type": "null"
            }
          ],
          "default": null,
          "description": "Start of the part to process, in seconds from the recording's first sample. null: the beginning."
        },
        "t_stop": {
          "anyOf": [
            {
              "exclusiveMinimum": 0,
              "type": "number"
            },
            {
              "type": "null"
            }
          ],
          "default": null,
          "description": "End of the part to process, in seconds from the first sample. null: the end."
        }
      },
      "type": "object"
    },
    "spikesorting": {
      "additionalProperties": {
        "additionalProperties": false,
        "description": "What every sorter's object holds.",
        "properties": {
          "job_kwargs": {
            "additionalProperties": false,
            "description": "Chunks and workers of this step.",
            "properties": {
              "chunk_duration": {
                "default": "1s",
                "description": "Length of a processing chunk with its unit, 's' or 'ms' (e.g. '1s', '500ms'). Longer chunks cost more memory and less overhead.",
                "pattern": "^(?:[0-9]+(?:\\.[0-9]+)?|\\.[0-9]+)(?:s|ms)$",
                "type": "string"
              },
              "progress_bar": {
                "default": false,
                "description": "Show a progress bar while chunks are processed.",
                "type": "boolean"
              },
              "mp_context": {
                "anyOf": [
                  {
                    "enum": [
                      "fork",
                      "spawn",
                      "forkserver"
                    ],
                    "type": "string"
                  },
                  {
                    "type": "null"
                  }
                ],
                "default": null,
                "description": "How worker processes are started. null: the platform's default."
              }
            },
            "type": "object"
          },
          "skip_motion_correction": {
            "default": false,
            "description": "Switch off the sorter's own drift correction, for data that are corrected already.",
            "type": "boolean"
          },
          "min_drift_channels": {
            "default": 6,
            "description": "With fewer channels than this the sorter's drift correction is switched off.",
            "minimum": 0,
            "type": "integer"
          },
          "raise_if_fails": {
            "default": true,
            "description": "A failing sorter fails the recording. false: the failure is recorded and the rest of the recording's outputs are skipped.",
            "type": "boolean"
          },
          "sorter": {
            "additionalProperties": {},
            "default": {},
            "description": "Keyword arguments of the sorter, as SpikeInterface names them. What is left out, or null where the sorter takes no null, is the sorter's own default.",
            "type": "object"
          }
        },
        "type": "object"
      },
      "description": "Which sorter, and what it is told.",
      "properties": {
        "sorter": {
          "anyOf": [
            {
              "examples": [
                "kilosort4",
                "kilosort25",
                "spykingcircus2",
                "lupin"
              ],
              "pattern": "^[A-Za-z][A-Za-z0-9_.-]*$",
              "type": "string"
            },
            {
              "type": "null"
            }
          ],
          "default": null,
          "description": "Sorter to run; wins over --sorter. null: --sorter decides, else kilosort4. Besides those with a key here, any sorter that SpikeInterface has, or another package adds, by its name."
        },
        "kilosort4": {
          "additionalProperties": false,
          "description": "Settings of Kilosort 4.",
          "properties": {
            "job_kwargs": {
              "additionalProperties": false,
              "description": "Chunks and workers of this step.",
              "properties": {
                "chunk_duration": {
                  "default": "1s",
                  "description": "Length of a processing chunk with its unit, 's' or 'ms' (e.g. '1s', '500ms'). Longer chunks cost more memory and less overhead.",
                  "pattern": "^(?:[0-9]+(?:\\.[0-9]+)?|\\.[0-9]+)(?:s|ms)$",
                  "type": "string"
                },
                "progress_bar": {
                  "default": false,
                  "description": "Show a progress bar while chunks are processed.",
                  "type": "boolean"
                },
                "mp_context": {
                  "anyOf": [
                    {
                      "enum": [
                        "fork",
                        "spawn",
                        "forkserver"
                      ],
                      "type": "string"
                    },
                    {
                      "type": "null"
                    }
                  ],
                  "default": null,
                  "description": "How worker processes are started. null: the platform's default."
                }
              },
              "type": "object"
            },
            "skip_motion_correction": {
              "default": false,
              "description": "Switch off the sorter's own drift correction, for data that are corrected already.",
              "type": "boolean"
            },
            "min_drift_channels": {
              "default": 6,
              "description": "With fewer channels than this the sorter's drift correction is switched off.",
              "minimum": 0,
              "type": "integer"
            },
            "raise_if_fails": {
              "default": true,
              "description": "A failing sorter fails the recording. false: the failure is recorded and the rest of the recording's outputs are skipped.",
              "type": "boolean"
            },
            "sorter": {
              "additionalProperties": {},
              "default": {
                "batch_size": 60000,
                "nblocks": 5,
                "Th_universal": 9,
                "Th_learned": 8,
                "do_CAR": true,
                "invert_sign": false,
                "nt": 61,
                "shift": null,
                "scale": null,
                "nskip": 25,
                "whitening_range": 32,
                "highpass_cutoff": 300,
                "binning_depth": 5,
                "sig_interp": 20,
                "drift_smoothing": [
                  0.5,
                  0.5,
                  0.5
                ],
                "nt0min": null,
                "dmin": null,
                "dminx": 32,
                "min_template_size": 10,
                "template_sizes": 5,
                "nearest_chans": 10,
                "nearest_templates": 100,
                "templates_from_data": true,
                "n_templates": 6,
                "n_pcs": 6,
                "Th_single_ch": 6,
                "acg_threshold": 0.2,
                "ccg_threshold": 0.25,
                "cluster_downsampling": 20,
                "x_centers": null,
                "duplicate_spike_ms": 0.25,
                "save_preprocessed_copy": false,
                "torch_device": "auto",
                "bad_channels": null,
                "clear_cache": false,
                "save_extra_vars": false,
                "do_correction": true,
                "keep_good_only": false,
                "skip_kilosort_preprocessing": false,
                "delete_recording_dat": true
              },
              "description": "Keyword arguments of the sorter, as SpikeInterface names them. What is left out, or null where the sorter takes no null, is the sorter's own default.",
              "type": "object"
            },
            "clear_cache": {
              "default": false,
              "description": "Have PyTorch release its memory between the large steps; helps on small GPUs.",
              "type": "boolean"
            }
          },
          "type": "object"
        },
        "kilosort25": {
          "additionalProperties": false,
          "description": "Settings of Kilosort 2.5.",
          "properties": {
            "job_kwargs": {
              "additionalProperties": false,
              "description": "Chunks and workers of this step.",
              "properties": {
                "chunk_duration": {
                  "default": "1s",
                  "description": "Length of a processing chunk with its unit, 's' or 'ms' (e.g. '1s', '500ms'). Longer chunks cost more memory and less overhead.",
                  "pattern": "^(?:[0-9]+(?:\\.[0-9]+)?|\\.[0-9]+)(?:s|ms)$",
                  "type": "string"
                },
                "progress_bar": {
                  "default": false,
                  "description": "Show a progress bar while chunks are processed.",
                  "type": "boolean"
                },
                "mp_context": {
                  "anyOf": [
                    {
                      "enum": [
                        "fork",
                        "spawn",
                        "forkserver"
                      ],
                      "type": "string"
                    },
                    {
                      "type": "null"
                    }
                  ],
                  "default": null,
                  "description": "How worker processes are started. null: the platform's default."
                }
              },
              "type": "object"
            },
            "skip_motion_correction": {
              "default": false,
              "description": "Switch off the sorter's own drift correction, for data that are corrected already.",
              "type": "boolean"
            },
            "min_drift_channels": {
              "default": 6,
              "description": "With fewer channels than this the sorter's drift correction is switched off.",
              "minimum": 0,
              "type": "integer"
            },
            "raise_if_fails": {
              "default": true,
              "description": "A failing sorter fails the recording. false: the failure is recorded and the rest of the recording's outputs are skipped.",
              "type": "boolean"
            },
            "sorter": {
              "additionalProperties": {},
              "default": {
                "detect_threshold": 6,
                "projection_threshold": [
                  10,
                  4
                ],
                "preclust_threshold": 8,
                "car": true,
                "minFR": 0.1,
                "minfr_goodchannels": 0.1,
                "nblocks": 5,
                "sig": 20,
                "freq_min": 150,
                "sigmaMask": 30,
                "nPCs": 3,
                "ntbuff": 64,
                "nfilt_factor": 4,
                "NT": null,
                "AUCsplit": 0.9,
                "do_correction": true,
                "wave_length": 61,
                "keep_good_only": false,
                "skip_kilosort_preprocessing": false,
                "scaleproc": null,
                "save_rez_to_mat": false,
                "delete_tmp_files": [
                  "matlab_files"
                ],
                "delete_recording_dat": false
              },
              "description": "Keyword arguments of the sorter, as SpikeInterface names them. What is left out, or null where the sorter takes no null, is the sorter's own default.",
              "type": "object"
            }
          },
          "type": "object"
        },
        "spykingcircus2": {
          "additionalProperties": false,
          "description": "Settings of SpyKING CIRCUS 2.",
          "properties": {
            "job_kwargs": {
              "additionalProperties": false,
              "description": "Chunks and workers of this step.",
              "properties": {
                "chunk_duration": {
                  "default": "1s",
                  "description": "Length of a processing chunk with its unit, 's' or 'ms' (e.g. '1s', '500ms'). Longer chunks cost more memory and less overhead.",
                  "pattern": "^(?:[0-9]+(?:\\.[0-9]+)?|\\.[0-9]+)(?:s|ms)$",
                  "type": "string"
                },
                "progress_bar": {
                  "default": false,
                  "description": "Show a progress bar while chunks are processed.",
                  "type": "boolean"
                },
                "mp_context": {
                  "anyOf": [
                    {
                      "enum": [
                        "fork",
                        "spawn",
                        "forkserver"
                      ],
                      "type": "string"
                    },
                    {
                      "type": "null"
                    }
                  ],
                  "default": null,
                  "description": "How worker processes are started. null: the platform's default."
                }
              },
              "type": "object"
            },
            "skip_motion_correction": {
              "default": false,
              "description": "Switch off the sorter's own drift correction, for data that are corrected already.",
              "type": "boolean"
            },
            "min_drift_channels": {
              "default": 6,
              "description": "With fewer channels than this the sorter's drift correction is switched off.",
              "minimum": 0,
              "type": "integer"
            },
            "raise_if_fails": {
              "default": true,
              "description": "A failing sorter fails the recording. false: the failure is recorded and the rest of the recording's outputs are skipped.",
              "type": "boolean"
            },
            "sorter": {
              "additionalProperties": {},
              "default": {
                "general": {
                  "ms_after": 1.5,
                  "ms_before": 0.5,
                  "radius_um": 100.0
                },
                "filtering": {
                  "filter_order": 2,
                  "freq_max": 7000,
                  "freq_min": 150,
                  "ftype": "bessel"
                },
                "whitening": {
                  "mode": "local",
                  "regularize": false
                },
                "detection": {
                  "method": "matched_filtering",
                  "method_kwargs": {
                    "detect_threshold": 5,
                    "peak_sign": "neg"
                  },
                  "pipeline_kwargs": {}
                },
                "selection": {
                  "method": "uniform",
                  "method_kwargs": {
                    "min_n_peaks": 100000,
                    "n_peaks_per_channel": 5000,
                    "select_per_channel": false
                  }
                },
                "apply_motion_correction": true,
                "motion_correction": {
                  "preset": "dredge_fast"
                },
                "merging": {
                  "max_distance_um": 50
                },
                "clustering": {
                  "method": "iterative-hdbscan",
                  "method_kwargs": {}
                },
                "cleaning": {
                  "max_jitter_ms": 0.2,
                  "mean_sd_ratio_threshold": 3,
                  "min_snr": 5,
                  "sparsify_threshold": 1
                },
                "min_firing_rate": 0.1,
                "matching": {
                  "method": "circus-omp",
                  "method_kwargs": {},
                  "pipeline_kwargs": {}
                },
                "apply_preprocessing": false,
                "apply_whitening": true,
                "cache_preprocessing": {
                  "mode": "no-cache"
                },
                "chunk_preprocessing": {
                  "memory_limit": null
                },
                "multi_units_only": false,
                "job_kwargs": {},
                "seed": 42,
                "deterministic_peaks_detection": false,
                "debug": false
              },
              "description": "Keyword arguments of the sorter, as SpikeInterface names them. What is left out, or null where the sorter takes no null, is the sorter's own default.",
              "type": "object"
            }
          },
          "type": "object"
        },
        "lupin": {
          "additionalProperties": false,
          "description": "Settings of Lupin.",
          "properties": {
            "job_kwargs": {
              "additionalProperties": false,
              "description": "Chunks and workers of this step.",
              "properties": {
                "chunk_duration": {
                  "default": "1s",
                  "description": "Length of a processing chunk with its unit, 's' or 'ms' (e.g. '1s', '500ms'). Longer chunks cost more memory and less overhead.",
                  "pattern": "^(?:[0-9]+(?:\\.[0-9]+)?|\\.[0-9]+)(?:s|ms)$",
                  "type": "string"
                },
                "progress_bar": {
                  "default": false,
                  "description": "Show a progress bar while chunks are processed.",
                  "type": "boolean"
                },
                "mp_context": {
                  "anyOf": [
                    {
                      "enum": [
                        "fork",
                        "spawn",
                        "forkserver"
                      ],
                      "type": "string"
                    },
                    {
                      "type": "null"
                    }
                  ],
                  "default": null,
                  "description": "How worker processes are started. null: the platform's default."
                }
              },
              "type": "object"
            },
            "skip_motion_correction": {
              "default": false,
              "description": "Switch off the sorter's own drift correction, for data that are corrected already.",
              "type": "boolean"
            },
            "min_drift_channels": {
              "default": 6,
              "description": "With fewer channels than this the sorter's drift correction is switched off.",
              "minimum": 0,
              "type": "integer"
            },
            "raise_if_fails": {
              "default": true,
              "description": "A failing sorter fails the recording. false: the failure is recorded and the rest of the recording's outputs are skipped.",
              "type": "boolean"
            },
            "sorter": {
              "additionalProperties": {},
              "default": {
                "apply_preprocessing": true,
                "preprocessing_dict": {},
                "apply_motion_correction": true,
                "motion_correction_preset": "dredge_fast",
                "clustering_ms_before": 0.3,
                "clustering_ms_after": 1.3,
                "whitening_radius_um": 100.0,
                "detection_radius_um": 50.0,
                "features_radius_um": 120.0,
                "split_radius_um": 60.0,
                "template_radius_um": 100.0,
                "freq_min": 150.0,
                "freq_max": 7000.0,
                "cache_preprocessing_mode": "no-cache",
                "peak_sign": "neg",
                "detect_threshold": 5.0,
                "n_peaks_per_channel": 5000,
                "n_svd_components_per_channel": 5,
                "n_pca_features": 4,
                "clustering_recursive_depth": 3,
                "ms_before": 1.0,
                "ms_after": 2.5,
                "template_sparsify_threshold": 1.5,
                "template_min_snr_ptp": 4.0,
                "template_max_jitter_ms": 0.2,
                "template_matching_engine": "circus-omp",
                "min_firing_rate": 0.1,
                "gather_mode": "memory",
                "job_kwargs": {},
                "seed": null,
                "save_array": true,
                "debug": false
              },
              "description": "Keyword arguments of the sorter, as SpikeInterface names them. What is left out, or null where the sorter takes no null, is the sorter's own default.",
              "type": "object"
            }
          },
          "type": "object"
        }
      },
      "type": "object"
    },
    "postprocessing": {
      "additionalProperties": false,
      "description": "The sorting analyzer and de-duplication.",
      "properties": {
        "job_kwargs": {
          "additionalProperties": false,
          "description": "Chunks and workers of this step.",
          "properties": {
            "chunk_duration": {
              "default": "1s",
              "description": "Length of a processing chunk with its unit, 's' or 'ms' (e.g. '1s', '500ms'). Longer chunks cost more memory and less overhead.",
              "pattern": "^(?:[0-9]+(?:\\.[0-9]+)?|\\.[0-9]+)(?:s|ms)$",
              "type": "string"
            },
            "progress_bar": {
              "default": false,
              "description": "Show a progress bar while chunks are processed.",
              "type": "boolean"
            },
            "mp_context": {
              "anyOf": [
                {
                  "enum": [
                    "fork",
                    "spawn",
                    "forkserver"
                  ],
                  "type": "string"
                },
                {
                  "type": "null"
                }
              ],
              "default": null,
              "description": "How worker processes are started. null: the platform's default."
            }
          },
          "type": "object"
        },
        "use_motion_corrected": {
          "default": false,
          "description": "Apply the estimated motion to the traces before measuring; without effect where it was applied in preprocessing already, or not estimated.",
          "type": "boolean"
        },
        "sparsity": {
          "additionalProperties": true,
          "description": "Which channels belong to a unit.",
          "properties": {
            "method": {
              "default": "radius",
              "description": "SpikeInterface's rule; 'radius' keeps the channels within radius_um of the unit.",
              "enum": [
                "radius",
                "best_channels",
                "closest_channels",
                "snr",
                "amplitude",
                "by_property"
              ],
              "type": "string"
            },
            "radius_um": {
              "default": 100,
              "description": "Radius in µm around the unit's main channel.",
              "exclusiveMinimum": 0,
              "type": "number"
            }
          },
          "type": "object"
        },
        "duplicate_threshold": {
          "default": 0.9,
          "description": "Template correlation (cosine similarity) above which two units that share most of their spikes are duplicates; the one with fewer spikes is removed. 1: none is.",
          "maximum": 1,
          "minimum": 0,
          "type": "number"
        },
        "return_in_uV": {
          "default": true,
          "description": "Waveforms and templates in µV. false: in the recording's raw counts.",
          "type": "boolean"
        },
        "extensions": {
          "additionalProperties": false,
          "description": "What the analyzer computes, with params; null leaves one out.",
          "properties": {
            "random_spikes": {
              "additionalProperties": true,
              "description": "Spikes used for waveforms and templates; always computed.",
              "properties": {
                "max_spikes_per_unit": {
                  "default": 500,
                  "description": "Spikes drawn from each unit, at most.",
                  "minimum": 1,
                  "type": "integer"
                },
                "method": {
                  "default": "uniform",
                  "description": "How they are drawn.",
                  "enum": [
                    "uniform",
                    "all",
                    "percentage",
                    "maximum_rate"
                  ],
                  "type": "string"
                },
                "margin_size": {
                  "anyOf": [
                    {
                      "minimum": 0,
                      "type": "integer"
                    },
                    {
                      "type": "null"
                    }
                  ],
                  "default": null,
                  "description": "Samples at both ends of a segment from which no spike is drawn. null: none."
                },
                "seed": {
                  "anyOf": [
                    {
                      "minimum": 0,
                      "type": "integer"
                    },
                    {
                      "type": "null"
                    }
                  ],
                  "default": null,
                  "description": "Seed of the draw. null: 0, so that two runs agree."
                }
              },
              "type": "object"
            },
            "noise_levels": {
              "anyOf": [
                {
                  "additionalProperties": true,
                  "description": "Noise of each channel, from random chunks.",
                  "properties": {
                    "num_chunks_per_segment": {
                      "default": 20,
                      "description": "Chunks drawn from each segment.",
                      "minimum": 1,
                      "type": "integer"
                    },
                    "chunk_size": {
                      "default": 10000,
                      "description": "Samples in a chunk.",
                      "minimum": 1,
                      "type": "integer"
                    },
                    "seed": {
                      "anyOf": [
                        {
                          "minimum": 0,
                          "type": "integer"
                        },
                        {
                          "type": "null"
                        }
                      ],
                      "default": null,
                      "description": "Seed of the draw. null: 0, so that two runs agree."
                    }
                  },
                  "type": "object"
                },
                {
                  "type": "null"
                }
              ],
              "default": {
                "num_chunks_per_segment": 20,
                "chunk_size": 10000,
                "seed": null
              },
              "description": "Noise of each channel. null: not computed."
            },
            "waveforms": {
              "anyOf": [
                {
                  "additionalProperties": true,
                  "description": "Snippets around spikes.",
                  "properties": {
                    "ms_before": {
                      "default": 2.0,
                      "description": "Milliseconds before the spike.",
                      "exclusiveMinimum": 0,
                      "type": "number"
                    },
                    "ms_after": {
                      "default": 3.0,
                      "description": "Milliseconds after the spike.",
                      "exclusiveMinimum": 0,
                      "type": "number"
                    },
                    "dtype": {
                      "anyOf": [
                        {
                          "type": "string"
                        },
                        {
                          "type": "null"
                        }
                      ],
                      "default": null,
                      "description": "NumPy type of the waveforms. null: the recording's."
                    }
                  },
                  "type": "object"
                },
                {
                  "type": "null"
                }
              ],
              "default": {
                "ms_before": 2.0,
                "ms_after": 3.0,
                "dtype": null
              },
              "description": "Snippets around spikes. null: not computed."
            },
            "templates": {
              "additionalProperties": true,
              "description": "Mean waveforms; always computed, de-duplication needs them.",
              "properties": {},
              "type": "object"
            },
            "spike_amplitudes": {
              "anyOf": [
                {
                  "additionalProperties": true,
                  "description": "Amplitude of every spike on its unit's main channel.",
                  "properties": {
                    "peak_sign": {
                      "default": "neg",
                      "description": "Polarity by which the main channel is chosen.",
                      "enum": [
                        "neg",
                        "pos",
                        "both"
                      ],
                      "type": "string"
                    }
                  },
                  "type": "object"
                },
                {
                  "type": "null"
                }
              ],
              "default": {
                "peak_sign": "neg"
              },
              "description": "Amplitude of every spike. null: not computed."
            },
            "template_similarity": {
              "anyOf": [
                {
                  "additionalProperties": true,
                  "description": "Similarity of each pair of templates.",
                  "properties": {
                    "method": {
                      "default": "l1",
                      "description": "Distance between templates.",
                      "enum": [
                        "l1",
                        "l2",
                        "cosine",
                        "cosine_similarity"
                      ],
                      "type": "string"
                    }
                  },
                  "type": "object"
                },
                {
                  "type": "null"
                }
              ],
              "default": {
                "method": "l1"
              },
              "description": "Similarity of templates. null: not computed."
            },
            "correlograms": {
              "anyOf": [
                {
                  "additionalProperties": true,
                  "description": "Auto- and cross-correlograms.",
                  "properties": {
                    "window_ms": {
                      "default": 50.0,
                      "description": "Full width in ms.",
                      "exclusiveMinimum": 0,
                      "type": "number"
                    },
                    "bin_ms": {
                      "default": 1.0,
                      "description": "Bin in ms.",
                      "exclusiveMinimum": 0,
                      "type": "number"
                    }
                  },
                  "type": "object"
                },
                {
                  "type": "null"
                }
              ],
              "default": {
                "window_ms": 50.0,
                "bin_ms": 1.0
              },
              "description": "Auto- and cross-correlograms. null: not computed."
            },
            "isi_histograms": {
              "anyOf": [
                {
                  "additionalProperties": true,
                  "description": "Histograms of the intervals between spikes.",
                  "properties": {
                    "window_ms": {
                      "default": 100.0,
                      "description": "Longest interval in ms.",
                      "exclusiveMinimum": 0,
                      "type": "number"
                    },
                    "bin_ms": {
                      "default": 5.0,
                      "description": "Bin in ms.",
                      "exclusiveMinimum": 0,
                      "type": "number"
                    }
                  },
                  "type": "object"
                },
                {
                  "type": "null"
                }
              ],
              "default": {
                "window_ms": 100.0,
                "bin_ms": 5.0
              },
              "description": "Inter-spike intervals. null: not computed."
            },
            "unit_locations": {
              "anyOf": [
                {
                  "additionalProperties": true,
                  "description": "Where each unit lies.",
                  "properties": {
                    "method": {
                      "default": "monopolar_triangulation",
                      "description": "Localization method.",
                      "enum": [
                        "center_of_mass",
                        "grid_convolution",
                        "monopolar_triangulation",
                        "peak_channel"
                      ],
                      "type": "string"
                    }
                  },
                  "type": "object"
                },
                {
                  "type": "null"
                }
              ],
              "default": {
                "method": "monopolar_triangulation"
              },
              "description": "Where units lie. null: not computed."
            },
            "spike_locations": {
              "anyOf": [
                {
                  "additionalProperties": true,
                  "description": "Where each spike lies.",
                  "properties": {
                    "method": {
                      "default": "grid_convolution",
                      "description": "Localization method.",
                      "enum": [
                        "center_of_mass",
                        "grid_convolution",
                        "monopolar_triangulation",
                        "peak_channel"
                      ],
                      "type": "string"
                    }
                  },
                  "type": "object"
                },
                {
                  "type": "null"
                }
              ],
              "default": {
                "method": "grid_convolution"
              },
              "description": "Where spikes lie. null: not computed."
            },
            "template_metrics": {
              "anyOf": [
                {
                  "additionalProperties": true,
                  "description": "Shape of the templates: widths, slopes, ratios, spread.",
                  "properties": {
                    "upsampling_factor": {
                      "default": 10,
                      "description": "Templates are upsampled by this before measuring.",
                      "minimum": 1,
                      "type": "integer"
                    },
                    "sparsity": {
                      "anyOf": [
                        {
                          "additionalProperties": true,
                          "description": "Which channels belong to a unit.",
                          "properties": {
                            "method": {
                              "default": "radius",
                              "description": "SpikeInterface's rule; 'radius' keeps the channels within radius_um of the unit.",
                              "enum": [
                                "radius",
                                "best_channels",
                                "closest_channels",
                                "snr",
                                "amplitude",
                                "by_property"
                              ],
                              "type": "string"
                            },
                            "radius_um": {
                              "default": 100,
                              "description": "Radius in µm around the unit's main channel.",
                              "exclusiveMinimum": 0,
                              "type": "number"
                            }
                          },
                          "type": "object"
                        },
                        {
                          "type": "null"
                        }
                      ],
                      "default": null,
                      "description": "Channels over which these metrics follow the waveform, as in postprocessing.sparsity. null: the analyzer's."
                    },
                    "include_multi_channel_metrics": {
                      "default": true,
                      "description": "Measure also how the waveform travels over channels (velocity, spread).",
                      "type": "boolean"
                    }
                  },
                  "type": "object"
                },
                {
                  "type": "null"
                }
              ],
              "default": {
                "upsampling_factor": 10,
                "sparsity": null,
                "include_multi_channel_metrics": true
              },
              "description": "Shape of templates. null: not computed."
            },
            "principal_components": {
              "anyOf": [
                {
                  "additionalProperties": true,
                  "description": "Principal components of the waveforms, used by the metrics of isolation.",
                  "properties": {
                    "n_components": {
                      "default": 5,
                      "description": "Components a channel.",
                      "minimum": 1,
                      "type": "integer"
                    },
                    "mode": {
                      "default": "by_channel_local",
                      "description": "One model a channel, one for all channels, or one over joined channels.",
                      "enum": [
                        "by_channel_local",
                        "by_channel_global",
                        "concatenated"
                      ],
                      "type": "string"
                    },
                    "whiten": {
                      "default": true,
                      "description": "Scale components to unit variance.",
                      "type": "boolean"
                    }
                  },
                  "type": "object"
                },
                {
                  "type": "null"
                }
              ],
              "default": {
                "n_components": 5,
                "mode": "by_channel_local",
                "whiten": true
              },
              "description": "Principal components of waveforms. null: not computed."
            },
            "amplitude_scalings": {
              "anyOf": [
                {
                  "additionalProperties": true,
                  "description": "Scale of every spike relative to its template.",
                  "properties": {},
                  "type": "object"
                },
                {
                  "type": "null"
                }
              ],
              "default": {},
              "description": "Scale of every spike relative to its template, from which amplitude_cutoff is judged. null: not computed; amplitude_cutoff falls back to the amplitudes."
            },
            "valid_unit_periods": {
              "anyOf": [
                {
                  "additionalProperties": true,
                  "description": "Stretches of time in which a unit is well isolated and not missing spikes.",
                  "properties": {},
                  "type": "object"
                },
                {
                  "type": "null"
                }
              ],
              "default": {},
              "description": "Stretches in which a unit is well isolated and complete; needs amplitude_scalings. null: not computed."
            },
            "quality_metrics": {
              "anyOf": [
                {
                  "additionalProperties": true,
                  "description": "Quality of each unit; the columns on which curation decides.",
                  "properties": {
                    "metric_names": {
                      "default": [
                        "num_spikes",
                        "firing_rate",
                        "presence_ratio",
                        "snr",
                        "isi_violation",
                        "rp_violation",
                        "sliding_rp_violation",
                        "amplitude_cutoff",
                        "amplitude_median",
                        "amplitude_cv",
                        "synchrony",
                        "firing_range",
                        "drift",
                        "isolation_distance",
                        "l_ratio",
                        "d_prime",
                        "nearest_neighbor",
                        "silhouette"
                      ],
                      "description": "Metrics to compute. Older names are accepted: isolation_distance and l_ratio are columns of 'mahalanobis' today.",
                      "items": {
                        "enum": [
                          "amplitude_cutoff",
                          "amplitude_cv",
                          "amplitude_median",
                          "d_prime",
                          "drift",
                          "firing_range",
                          "firing_rate",
                          "isi_violation",
                          "isolation_distance",
                          "l_ratio",
                          "mahalanobis",
                          "nearest_neighbor",
                          "nn_advanced",
                          "nn_isolation",
                          "nn_noise_overlap",
                          "noise_cutoff",
                          "num_spikes",
                          "presence_ratio",
                          "rp_violation",
                          "sd_ratio",
                          "silhouette",
                          "sliding_rp_violation",
                          "snr",
                          "synchrony"
                        ],
                        "type": "string"
                      },
                      "type": "array"
                    },
                    "metric_params": {
                      "additionalProperties": {
                        "additionalProperties": {},
                        "type": "object"
                      },
                      "default": {
                        "presence_ratio": {
                          "bin_duration_s": 60
                        },
                        "snr": {
                          "peak_mode": "extremum",
                          "peak_sign": "neg"
                        },
                        "isi_violation": {
                          "isi_threshold_ms": 1.5,
                          "min_isi_ms": 0
                        },
                        "rp_violation": {
                          "censored_period_ms": 0.0,
                          "refractory_period_ms": 1
                        },
                        "sliding_rp_violation": {
                          "bin_size_ms": 0.25,
                          "contamination_values": null,
                          "exclude_ref_period_below_ms": 0.5,
                          "max_ref_period_ms": 10,
                          "window_size_s": 1
                        },
                        "amplitude_cutoff": {
                          "amplitudes_bins_min_ratio": 5,
                          "histogram_smoothing_value": 3,
                          "num_histogram_bins": 100,
                          "peak_sign": "neg"
                        },
                        "amplitude_median": {
                          "peak_sign": "neg"
                        },
                        "amplitude_cv": {
                          "amplitude_extension": "spike_amplitudes",
                          "average_num_spikes_per_bin": 50,
                          "min_num_bins": 10,
                          "percentiles": [
                            5,
                            95
                          ]
                        },
                        "firing_range": {
                          "bin_size_s": 5,
                          "percentiles": [
                            5,
                            95
                          ]
                        },
                        "synchrony": {
                          "synchrony_sizes": [
                            2,
                            4,
                            8
                          ]
                        },
                        "nearest_neighbor": {
                          "max_spikes": 10000,
                          "n_neighbors": 4
                        },
                        "silhouette": {
                          "method": [
                            "simplified"
                          ]
                        }
                      },
                      "description": "Keyword arguments by metric. {}: SpikeInterface's own defaults for all.",
                      "propertyNames": {
                        "enum": [
                          "amplitude_cutoff",
                          "amplitude_cv",
                          "amplitude_median",
                          "d_prime",
                          "drift",
                          "firing_range",
                          "firing_rate",
                          "isi_violation",
                          "isolation_distance",
                          "l_ratio",
                          "mahalanobis",
                          "nearest_neighbor",
                          "nn_advanced",
                          "nn_isolation",
                          "nn_noise_overlap",
                          "noise_cutoff",
                          "num_spikes",
                          "presence_ratio",
                          "rp_violation",
                          "sd_ratio",
                          "silhouette",
                          "sliding_rp_violation",
                          "snr",
                          "synchrony"
                        ]
                      },
                      "type": "object"
                    }
                  },
                  "type": "object"
                },
                {
                  "type": "null"
                }
              ],
              "default": {
                "metric_names": [
                  "num_spikes",
                  "firing_rate",
                  "presence_ratio",
                  "snr",
                  "isi_violation",
                  "rp_violation",
                  "sliding_rp_violation",
                  "amplitude_cutoff",
                  "amplitude_median",
                  "amplitude_cv",
                  "synchrony",
                  "firing_range",
                  "drift",
                  "isolation_distance",
                  "l_ratio",
                  "d_prime",
                  "nearest_neighbor",
                  "silhouette"
                ],
                "metric_params": {
                  "amplitude_cutoff": {
                    "amplitudes_bins_min_ratio": 5,
                    "histogram_smoothing_value": 3,
                    "num_histogram_bins": 100,
                    "peak_sign": "neg"
                  },
                  "amplitude_cv": {
                    "amplitude_extension": "spike_amplitudes",
                    "average_num_spikes_per_bin": 50,
                    "min_num_bins": 10,
                    "percentiles": [
                      5,
                      95
                    ]
                  },
                  "amplitude_median": {
                    "peak_sign": "neg"
                  },
                  "firing_range": {
                    "bin_size_s": 5,
                    "percentiles": [
                      5,
                      95
                    ]
                  },
                  "isi_violation": {
                    "isi_threshold_ms": 1.5,
                    "min_isi_ms": 0
                  },
                  "nearest_neighbor": {
                    "max_spikes": 10000,
                    "n_neighbors": 4
                  },
                  "presence_ratio": {
                    "bin_duration_s": 60
                  },
                  "rp_violation": {
                    "censored_period_ms": 0.0,
                    "refractory_period_ms": 1
                  },
                  "silhouette": {
                    "method": [
                      "simplified"
                    ]
                  },
                  "sliding_rp_violation": {
                    "bin_size_ms": 0.25,
                    "contamination_values": null,
                    "exclude_ref_period_below_ms": 0.5,
                    "max_ref_period_ms": 10,
                    "window_size_s": 1
                  },
                  "snr": {
                    "peak_mode": "extremum",
                    "peak_sign": "neg"
                  },
                  "synchrony": {
                    "synchrony_sizes": [
                      2,
                      4,
                      8
                    ]
                  }
                }
              },
              "description": "Quality of units. null: not computed."
            }
          },
          "type": "object"
        }
      },
      "type": "object"
    },
    "curation": {
      "additionalProperties": false,
      "description": "Which units are good.",
      "properties": {
        "job_kwargs": {
          "additionalProperties": false,
          "description": "Chunks and workers of this step.",
          "properties": {
            "chunk_duration": {
              "default": "1s",
              "description": "Length of a processing chunk with its unit, 's' or 'ms' (e.g. '1s', '500ms'). Longer chunks cost more memory and less overhead.",
              "pattern": "^(?:[0-9]+(?:\\.[0-9]+)?|\\.[0-9]+)(?:s|ms)$",
              "type": "string"
            },
            "progress_bar": {
              "default": false,
              "description": "Show a progress bar while chunks are processed.",
              "type": "boolean"
            },
            "mp_context": {
              "anyOf": [
                {
                  "enum": [
                    "fork",
                    "spawn",
                    "forkserver"
                  ],
                  "type": "string"
                },
                {
                  "type": "null"
                }
              ],
              "default": null,
              "description": "How worker processes are started. null: the platform's default."
            }
          },
          "type": "object"
        },
        "query": {
          "anyOf": [
            {
              "type": "string"
            },
            {
              "type": "null"
            }
          ],
          "default": "isi_violations_ratio < 0.5 and presence_ratio > 0.8 and amplitude_cutoff < 0.1",
          "description": "Pandas query over the quality metrics' columns; units that do not satisfy it are labelled bad. null or '': no such label."
        },
        "noise_neural_classifier": {
          "anyOf": [
            {
              "type": "string"
            },
            {
              "type": "null"
            }
          ],
          "default": "SpikeInterface/UnitRefine_noise_neural_classifier",
          "description": "Model that tells neurons from noise: a Hugging Face id (optionally 'id@revision') or a local folder. null: skipped."
        },
        "sua_mua_classifier": {
          "anyOf": [
            {
              "type": "string"
            },
            {
              "type": "null"
            }
          ],
          "default": "SpikeInterface/UnitRefine_sua_mua_classifier",
          "description": "Model that tells single units from multi-unit activity: a Hugging Face id (optionally 'id@revision') or a local folder. null: skipped."
        },
        "bombcell": {
          "anyOf": [
            {
              "additionalProperties": false,
              "description": "Bombcell's thresholds (https://github.com/Julie-Fabre/bombcell), by quality or template metric.",
              "properties": {
                "noise": {
                  "additionalProperties": {
                    "additionalProperties": false,
                    "description": "What a metric must be for a unit to pass.",
                    "properties": {
                      "greater": {
                        "anyOf": [
                          {
                            "type": "number"
                          },
                          {
                            "type": "null"
                          }
                        ],
                        "default": null,
                        "description": "The metric must be this or more. null: no such bound."
                      },
                      "less": {
                        "anyOf": [
                          {
                            "type": "number"
                          },
                          {
                            "type": "null"
                          }
                        ],
                        "default": null,
                        "description": "The metric must be this or less. null: no such bound."
                      },
                      "abs": {
                        "default": false,
                        "description": "Bound the metric's magnitude, whatever its sign.",
                        "type": "boolean"
                      }
                    },
                    "type": "object"
                  },
                  "default": {
                    "num_positive_peaks": {
                      "abs": false,
                      "greater": null,
                      "less": 2.0
                    },
                    "num_negative_peaks": {
                      "abs": false,
                      "greater": null,
                      "less": 1.0
                    },
                    "peak_to_trough_duration": {
                      "abs": false,
                      "greater": 0.0001,
                      "less": 0.00115
                    },
                    "waveform_baseline_flatness": {
                      "abs": false,
                      "greater": null,
                      "less": 0.5
                    },
                    "peak_after_to_trough_ratio": {
                      "abs": false,
                      "greater": null,
                      "less": 0.8
                    },
                    "exp_decay": {
                      "abs": false,
                      "greater": 0.01,
                      "less": 0.1
                    }
                  },
                  "description": "A unit outside any of these bounds is labelled noise.",
                  "type": "object"
                },
                "mua": {
                  "additionalProperties": {
                    "additionalProperties": false,
                    "description": "What a metric must be for a unit to pass.",
                    "properties": {
                      "greater": {
                        "anyOf": [
                          {
                            "type": "number"
                          },
                          {
                            "type": "null"
                          }
                        ],
                        "default": null,
                        "description": "The metric must be this or more. null: no such bound."
                      },
                      "less": {
                        "anyOf": [
                          {
                            "type": "number"
                          },
                          {
                            "type": "null"
                          }
                        ],
                        "default": null,
                        "description": "The metric must be this or less. null: no such bound."
                      },
                      "abs": {
                        "default": false,
                        "description": "Bound the metric's magnitude, whatever its sign.",
                        "type": "boolean"
                      }
                    },
                    "type": "object"
                  },
                  "default": {
                    "amplitude_median": {
                      "abs": true,
                      "greater": 30.0,
                      "less": null
                    },
                    "snr": {
                      "abs": false,
                      "greater": 5.0,
                      "less": null
                    },
                    "amplitude_cutoff": {
                      "abs": false,
                      "greater": null,
                      "less": 0.2
                    },
                    "num_spikes": {
                      "abs": false,
                      "greater": 300.0,
                      "less": null
                    },
                    "rp_contamination": {
                      "abs": false,
                      "greater": null,
                      "less": 0.1
                    },
                    "presence_ratio": {
                      "abs": false,
                      "greater": 0.7,
                      "less": null
                    },
                    "drift_ptp": {
                      "abs": false,
                      "greater": null,
                      "less": 100.0
                    }
                  },
                  "description": "A unit that is no noise but outside any of these bounds is labelled mua.",
                  "type": "object"
                },
                "non-somatic": {
                  "additionalProperties": {
                    "additionalProperties": false,
                    "description": "What a metric must be for a unit to pass.",
                    "properties": {
                      "greater": {
                        "anyOf": [
                          {
                            "type": "number"
                          },
                          {
                            "type": "null"
                          }
                        ],
                        "default": null,
                        "description": "The metric must be this or more. null: no such bound."
                      },
                      "less": {
                        "anyOf": [
                          {
                            "type": "number"
                          },
                          {
                            "type": "null"
                          }
                        ],
                        "default": null,
                        "description": "The metric must be this or less. null: no such bound."
                      },
                      "abs": {
                        "default": false,
                        "description": "Bound the metric's magnitude, whatever its sign.",
                        "type": "boolean"
                      }
                    },
                    "type": "object"
                  },
                  "default": {
                    "peak_before_to_trough_ratio": {
                      "abs": false,
                      "greater": null,
                      "less": 3.0
                    },
                    "peak_before_width": {
                      "abs": false,
                      "greater": 0.00015,
                      "less": null
                    },
                    "trough_width": {
                      "abs": false,
                      "greater": 0.0002,
                      "less": null
                    },
                    "peak_before_to_peak_after_ratio": {
                      "abs": false,
                      "greater": null,
                      "less": 3.0
                    },
                    "main_peak_to_trough_ratio": {
                      "abs": false,
                      "greater": null,
                      "less": 0.8
                    }
                  },
                  "description": "A unit that is no noise, narrow and of a large peak before its trough, or all peak, is labelled non_soma. {}: no such label.",
                  "type": "object"
                }
              },
              "type": "object"
            },
            {
              "type": "null"
            }
          ],
          "default": {
            "noise": {
              "exp_decay": {
                "abs": false,
                "greater": 0.01,
                "less": 0.1
              },
              "num_negative_peaks": {
                "abs": false,
                "greater": null,
                "less": 1.0
              },
              "num_positive_peaks": {
                "abs": false,
                "greater": null,
                "less": 2.0
              },
              "peak_after_to_trough_ratio": {
                "abs": false,
                "greater": null,
                "less": 0.8
              },
              "peak_to_trough_duration": {
                "abs": false,
                "greater": 0.0001,
                "less": 0.00115
              },
              "waveform_baseline_flatness": {
                "abs": false,
                "greater": null,
                "less": 0.5
              }
            },
            "mua": {
              "amplitude_cutoff": {
                "abs": false,
                "greater": null,
                "less": 0.2
              },
              "amplitude_median": {
                "abs": true,
                "greater": 30.0,
                "less": null
              },
              "drift_ptp": {
                "abs": false,
                "greater": null,
                "less": 100.0
              },
              "num_spikes": {
                "abs": false,
                "greater": 300.0,
                "less": null
              },
              "presence_ratio": {
                "abs": false,
                "greater": 0.7,
                "less": null
              },
              "rp_contamination": {
                "abs": false,
                "greater": null,
                "less": 0.1
              },
              "snr": {
                "abs": false,
                "greater": 5.0,
                "less": null
              }
            },
            "non-somatic": {
              "main_peak_to_trough_ratio": {
                "abs": false,
                "greater": null,
                "less": 0.8
              },
              "peak_before_to_peak_after_ratio": {
                "abs": false,
                "greater": null,
                "less": 3.0
              },
              "peak_before_to_trough_ratio": {
                "abs": false,
                "greater": null,
                "less": 3.0
              },
              "peak_before_width": {
                "abs": false,
                "greater": 0.00015,
                "less": null
              },
              "trough_width": {
                "abs": false,
                "greater": 0.0002,
                "less": null
              }
            }
          },
          "description": "Label units as Bombcell does: noise, mua, good or non_soma. null: skipped."
        },
        "noise_strategy": {
          "anyOf": [
            {
              "enum": [
                "bombcell",
                "unitrefine",
                "bombcell+unitrefine"
              ],
              "type": "string"
            },
            {
              "type": "null"
            }
          ],
          "default": "bombcell+unitrefine",
          "description": "Who says which units are noise, to be proposed for removal and left out of merges; with both, they must agree, and with one of them skipped nobody does. null: nobody."
        },
        "slay": {
          "anyOf": [
            {
              "additionalProperties": false,
              "description": "Merges proposed by SLAy (https://github.com/saikoukunt/SLAy), as SpikeInterface has it.",
              "properties": {
                "template_similarity": {
                  "additionalProperties": false,
                  "description": "Which pairs are looked at.",
                  "properties": {
                    "templates_diff": {
                      "default": 0.35,
                      "description": "Largest difference of two templates, from 0 to 1.",
                      "maximum": 1,
                      "minimum": 0,
                      "type": "number"
                    }
                  },
                  "type": "object"
                },
                "slay": {
                  "additionalProperties": false,
                  "description": "Which of them are proposed.",
                  "properties": {
                    "k1": {
                      "default": 0.25,
                      "description": "Weight of the cross-correlation.",
                      "minimum": 0,
                      "type": "number"
                    },
                    "k2": {
                      "default": 1.0,
                      "description": "Weight of the refractory period violations.",
                      "minimum": 0,
                      "type": "number"
                    },
                    "slay_threshold": {
                      "default": 0.4,
                      "description": "A pair that scores more than this is proposed.",
                      "type": "number"
                    }
                  },
                  "type": "object"
                }
              },
              "type": "object"
            },
            {
              "type": "null"
            }
          ],
          "default": {
            "template_similarity": {
              "templates_diff": 0.35
            },
            "slay": {
              "k1": 0.25,
              "k2": 1.0,
              "slay_threshold": 0.4
            }
          },
          "description": "Propose merges of units, in curation.json. null: no proposals."
        }
      },
      "type": "object"
    },
    "visualization": {
      "additionalProperties": false,
      "description": "The figures of each recording.",
      "properties": {
        "job_kwargs": {
          "additionalProperties": false,
          "description": "Chunks and workers of this step.",
          "properties": {
            "chunk_duration": {
              "default": "1s",
              "description": "Length of a processing chunk with its unit, 's' or 'ms' (e.g. '1s', '500ms'). Longer chunks cost more memory and less overhead.",
              "pattern": "^(?:[0-9]+(?:\\.[0-9]+)?|\\.[0-9]+)(?:s|ms)$",
              "type": "string"
            },
            "progress_bar": {
              "default": false,
              "description": "Show a progress bar while chunks are processed.",
              "type": "boolean"
            },
            "mp_context": {
              "anyOf": [
                {
                  "enum": [
                    "fork",
                    "spawn",
                    "forkserver"
                  ],
                  "type": "string"
                },
                {
                  "type": "null"
                }
              ],
              "default": null,
              "description": "How worker processes are started. null: the platform's default."
            }
          },
          "type": "object"
        },
        "timeseries": {
          "additionalProperties": false,
          "description": "Snippets of traces.",
          "properties": {
            "n_snippets_per_segment": {
              "default": 2,
              "description": "Snippets drawn from each segment. 0: no such figure.",
              "minimum": 0,
              "type": "integer"
            },
            "snippet_duration_s": {
              "default": 0.5,
              "description": "Seconds in a snippet.",
              "exclusiveMinimum": 0,
              "type": "number"
            }
          },
          "type": "object"
        },
        "drift": {
          "additionalProperties": false,
          "description": "The drift map.",
          "properties": {
            "detection": {
              "additionalProperties": false,
              "description": "How the peaks are found.",
              "properties": {
                "peak_sign": {
                  "default": "neg",
                  "description": "Polarity of the peaks.",
                  "enum": [
                    "neg",
                    "pos",
                    "both"
                  ],
                  "type": "string"
                },
                "detect_threshold": {
                  "default": 5,
                  "description": "Peaks above this multiple of the noise (MAD) are shown.",
                  "exclusiveMinimum": 0,
                  "type": "number"
                },
                "exclude_sweep_ms": {
                  "default": 0.1,
                  "description": "Milliseconds around a peak without another one.",
                  "exclusiveMinimum": 0,
                  "type": "number"
                }
              },
              "type": "object"
            },
            "localization": {
              "additionalProperties": false,
              "description": "How the peaks are localized.",
              "properties": {
                "ms_before": {
                  "default": 0.1,
                  "description": "Milliseconds before the peak that are used.",
                  "exclusiveMinimum": 0,
                  "type": "number"
                },
                "ms_after": {
                  "default": 0.3,
                  "description": "Milliseconds after the peak that are used.",
                  "exclusiveMinimum": 0,
                  "type": "number"
                },
                "radius_um": {
                  "default": 100.0,
                  "description": "Channels within this radius in µm are used.",
                  "exclusiveMinimum": 0,
                  "type": "number"
                }
              },
              "type": "object"
            },
            "n_skip": {
              "default": 30,
              "description": "One in this many peaks is drawn.",
              "minimum": 1,
              "type": "integer"
            },
            "alpha": {
              "default": 0.15,
              "description": "Opacity of a point: 0 invisible, 1 solid.",
              "maximum": 1,
              "minimum": 0,
              "type": "number"
            },
            "vmin": {
              "default": -200,
              "description": "Lower end of the colour scale, in µV.",
              "type": "number"
            },
            "vmax": {
              "default": 0,
              "description": "Upper end of the colour scale, in µV, above vmin.",
              "type": "number"
            },
            "cmap": {
              "default": "Greys_r",
              "description": "Matplotlib colour map of the points.",
              "minLength": 1,
              "type": "string"
            },
            "figsize": {
              "default": [
                10.0,
                10.0
              ],
              "description": "Width and height in inches.",
              "items": {
                "exclusiveMinimum": 0,
                "type": "number"
              },
              "maxItems": 2,
              "minItems": 2,
              "type": "array"
            }
          },
          "type": "object"
        },
        "motion": {
          "additionalProperties": false,
          "description": "The motion figure.",
          "properties": {
            "cmap": {
              "default": "Greys_r",
              "description": "Matplotlib colour map of the points.",
              "minLength": 1,
              "type": "string"
            },
            "scatter_decimate": {
              "default": 15,
              "description": "One in this many peaks is drawn.",
              "minimum": 1,
              "type": "integer"
            },
            "figsize": {
              "default": [
                15.0,
                10.0
              ],
              "description": "Width and height in inches.",
              "items": {
                "exclusiveMinimum": 0,
                "type": "number"
              },
              "maxItems": 2,
              "minItems": 2,
              "type": "array"
            }
          },
          "type": "object"
        }
      },
      "type": "object"
    },
    "nwb": {
      "additionalProperties": false,
      "description": "What the session's NWB file holds.",
      "properties": {
        "allow_partial": {
          "default": false,
          "description": "Write a session's file although a probe of it failed. false: wait until it is repaired.",
          "type": "boolean"
        },
        "ecephys": {
          "additionalProperties": false,
          "description": "Electrophysiology.",
          "properties": {
            "backend": {
              "default": "zarr",
              "description": "'zarr': a chunked folder that suits object stores; 'hdf5': one .nwb file.",
              "enum": [
                "zarr",
                "hdf5"
              ],
              "type": "string"
            },
            "stub": {
              "default": false,
              "description": "Write only the first stub_seconds of each series, for a quick look.",
              "type": "boolean"
            },
            "stub_seconds": {
              "default": 10,
              "description": "Seconds that are written when stub is on.",
              "exclusiveMinimum": 0,
              "type": "number"
            },
            "write_lfp": {
              "default": true,
              "description": "Write the LFP.",
              "type": "boolean"
            },
            "write_raw": {
              "default": false,
              "description": "Write the raw wide-band traces too; the file becomes much larger.",
              "type": "boolean"
            },
            "lfp_temporal_factor": {
              "default": 2,
              "description": "Keep one LFP sample in this many. 0 or 1: all.",
              "minimum": 0,
              "type": "integer"
            },
            "lfp_spatial_factor": {
              "default": 4,
              "description": "Keep one LFP channel in this many. 0 or 1: all.",
              "minimum": 0,
              "type": "integer"
            },
            "lfp_highpass_freq_min": {
              "default": 0.1,
              "description": "High-pass of the LFP in Hz. 0: none.",
              "minimum": 0,
              "type": "number"
            },
            "surface_channel_agar_probes_indices": {
              "anyOf": [
                {
                  "type": "string"
                },
                {
                  "additionalProperties": {
                    "minimum": 0,
                    "type": "integer"
                  },
                  "type": "object"
                }
              ],
              "default": "",
              "description": "For probes that go through agar: the index of the uppermost channel still in tissue, by probe name, as an object or its JSON text, e.g. {\"ProbeA\": 350}; the LFP is referenced to the median of the channels above it. \"\": none."
            },
            "lfp": {
              "additionalProperties": false,
              "description": "How LFP is made from a wide-band stream.",
              "properties": {
                "filter": {
                  "additionalProperties": false,
                  "description": "Band-pass that defines the LFP.",
                  "properties": {
                    "freq_min": {
                      "default": 0.1,
                      "description": "Lower edge in Hz.",
                      "minimum": 0,
                      "type": "number"
                    },
                    "freq_max": {
                      "default": 500,
                      "description": "Upper edge in Hz, above freq_min.",
                      "exclusiveMinimum": 0,
                      "type": "number"
                    }
                  },
                  "type": "object"
                },
                "sampling_rate": {
                  "default": 2500,
                  "description": "Sampling rate of the LFP in Hz, after downsampling.",
                  "exclusiveMinimum": 0,
                  "type": "number"
                }
              },
              "type": "object"
            }
          },
          "type": "object"
        }
      },
      "type": "object"
    }
  },
  "type": "object"
};
window.paramsOlderKeys = [
  "pipeline_version",
  "job_dispatch.t_start",
  "job_dispatch.t_stop",
  "preprocessing.default_preprocessing_pipeline",
  "preprocessing.motion",
  "preprocessing.motion_correction.temporal_bin_s",
  "spikesorting.kilosort2_5",
  "postprocessing.extensions.noise_levels.random_slices_kwargs",
  "curation.qc_thresholds",
  "curation.unitrefine",
  "nwb.backend"
];
