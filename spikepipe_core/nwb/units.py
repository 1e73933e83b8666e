"""The units table: the units of all probes of a session, one row each.

Spikes are timed by the raw recording's clock. Waveforms are in volts, on the channels that the analyzer keeps of a
unit (`electrodes` says which); where a unit has fewer channels than the widest one, the rest is NaN.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pandas as pd
from hdmf.common import DynamicTableRegion, VectorData, VectorIndex
from pynwb import NWBFile
from pynwb.misc import Units

from spikepipe_core.errors import BadDataError
from spikepipe_core.nwb.electrodes import ElectrodeRows
from spikepipe_core.nwb.probe_data import ProbeData
from spikepipe_core.nwb.waveforms import MergedWaveforms, ProbeWaveforms, merge_waveforms, probe_waveforms

DESCRIPTION = "Units of all probes, found by spike sorting. None is left out: labels say which are good."
COLUMN_DESCRIPTIONS = {
    "unit_name": "Name of the unit, unique in this file: key of the probe and id of the unit.",
    "unit_id": "Id of the unit in the spike sorting of its probe.",
    "probe": "Probe that found the unit: the key that electrodes and series carry too.",
    "device_name": "Name of the physical probe.",
    "recording_name": "Name of the unit's recording in the results folder.",
    "peak_electrode": "Row in the electrodes table of the unit's main channel, where its spikes are largest.",
    "estimated_x": "Estimated position (um) across the probe, as rel_x of the electrodes.",
    "estimated_y": "Estimated position (um) along the probe from its tip, as rel_y of the electrodes.",
    "estimated_z": "Estimated distance (um) from the plane of the probe.",
    "default_qc": "Result of the query over the quality metrics: 'pass' if the unit satisfies it.",
    "decoder_label": "Label by the UnitRefine classifiers: noise, neural (not noise), sua (single unit), mua "
    "(multi-unit activity).",
    "bombcell_label": "Label by Bombcell's thresholds: good, mua (multi-unit activity), noise, non_soma "
    "(not from a soma).",
    "decoder_probability": "Probability of decoder_label, from 0 to 1.",
}
# Columns that NWB defines: metrics and labels must not take their names.
RESERVED = {
    "id",
    "spike_times",
    "obs_intervals",
    "electrodes",
    "electrode_group",
    "waveform_mean",
    "waveform_sd",
    "waveforms",
}


@dataclass
class ProbeUnits:
    """Rows of one probe in the units table.

    Attributes
    ----------
    spike_times : array, shape (n_spikes,)
        Seconds, unit after unit.
    spike_counts : array of int, shape (n_units,)
    observed : array, shape (n_segments, 2)
        Start and end (s) of each segment.
    electrodes : list of array of int
        Rows in the electrodes table of each unit's channels.
    table : DataFrame
        All columns of plain values, one row a unit.
    descriptions : dict of str to str
        By column.
    """

    spike_times: np.ndarray
    spike_counts: np.ndarray
    observed: np.ndarray
    electrodes: list[np.ndarray]
    groups: list[Any]
    waveforms: ProbeWaveforms | None
    table: pd.DataFrame
    sampling_frequency: float
    descriptions: dict[str, str] = field(default_factory=dict)


def add_units(nwbfile: NWBFile, probes: list[ProbeData], rows: dict[str, ElectrodeRows]) -> None:
    """Add the units of all probes; a session without any gets no units table.

    Parameters
    ----------
    rows : dict of str to ElectrodeRows
        By key of the probe.
    """
    parts = [_units_of(probe, rows[probe.key]) for probe in probes if probe.num_units]
    if not parts:
        return
    waveforms = merge_waveforms([(part.waveforms, len(part.table)) for part in parts])
    columns = [*_spike_columns(parts), *_electrode_columns(parts, nwbfile)]
    if waveforms:
        columns += _waveform_columns(waveforms)
    nwbfile.units = Units(
        name="units",
        description=DESCRIPTION,
        columns=[*columns, *_table_columns(parts)],
        waveform_rate=waveforms.sampling_frequency if waveforms else None,
        waveform_time_before_peak_in_ms=waveforms.ms_before if waveforms else None,
        waveform_unit="volts",
        resolution=1.0 / max(part.sampling_frequency for part in parts),
    )


def _units_of(probe: ProbeData, rows: ElectrodeRows) -> ProbeUnits:
    analyzer = probe.analyzer
    assert analyzer is not None, "the caller leaves out probes without units"
    times, counts, observed = _spikes(probe)
    waveforms = probe_waveforms(analyzer)
    channel_rows = rows.of(analyzer)
    peaks = channel_rows[np.asarray(analyzer.get_main_channels(outputs="index"), dtype=int)]
    channels = waveforms.channels if waveforms else [np.arange(len(channel_rows))] * len(counts)
    table, descriptions = _plain_columns(probe)
    table.insert(4, "peak_electrode", peaks)
    return ProbeUnits(
        spike_times=times,
        spike_counts=counts,
        observed=observed,
        electrodes=[channel_rows[index] for index in channels],
        groups=[rows.groups[row] for row in peaks],
        waveforms=waveforms,
        table=table,
        sampling_frequency=analyzer.sampling_frequency,
        descriptions=descriptions,
    )


def _spikes(probe: ProbeData) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Spike times (s) unit after unit, spikes of each unit, and the observed intervals (s)."""
    clock = _clock(probe)
    assert probe.analyzer is not None
    segments = probe.analyzer.sorting.to_spike_vector(concatenated=False)
    times, units = [], []
    for index, spikes in enumerate(segments):
        _check_range(probe, spikes["sample_index"], clock.get_num_samples(index))
        times.append(clock.sample_index_to_time(spikes["sample_index"], segment_index=index))
        units.append(spikes["unit_index"])
    unit_of_spike = np.concatenate(units)
    by_unit = np.argsort(unit_of_spike, kind="stable")
    observed = [[clock.get_start_time(i), clock.get_end_time(i)] for i in range(len(segments))]
    return (
        np.asarray(np.concatenate(times), dtype=np.float64)[by_unit],
        np.bincount(unit_of_spike, minlength=probe.num_units),
        np.asarray(observed, dtype=np.float64),
    )


def _clock(probe: ProbeData) -> Any:
    """The recording whose clock times the spikes: the raw one, else the analyzer's."""
    if probe.recording is not None:
        return probe.recording
    if probe.analyzer is not None and probe.analyzer.has_recording():
        return probe.analyzer.recording
    raise BadDataError(
        f"{probe.key}: the raw recording {probe.recording_name} was not found, so the times of the spikes are not "
        "known. Give the data folder that holds it."
    )


def _check_range(probe: ProbeData, samples: np.ndarray, length: int) -> None:
    if len(samples) and int(samples.max()) >= length:
        raise BadDataError(
            f"{probe.key}: the sorting has a spike at sample {int(samples.max())} and the recording "
            f"{probe.recording_name} ends at {length}. They are not of the same recording."
        )


def _plain_columns(probe: ProbeData) -> tuple[pd.DataFrame, dict[str, str]]:
    """Names, positions, metrics and labels of a probe's units."""
    analyzer = probe.analyzer
    assert analyzer is not None
    table = pd.DataFrame(index=analyzer.unit_ids.astype(str))
    table["unit_name"] = [f"{probe.key}_{unit}" for unit in analyzer.unit_ids]
    table["unit_id"] = [str(unit) for unit in analyzer.unit_ids]
    table["probe"] = probe.key
    table["device_name"] = probe.device_name
    table["recording_name"] = probe.recording_name
    descriptions = dict(COLUMN_DESCRIPTIONS)
    if analyzer.has_extension("unit_locations"):
        locations = analyzer.get_extension("unit_locations").get_data()
        for axis, column in zip("xyz", locations.T, strict=False):
            table[f"estimated_{axis}"] = column
    for name in ("quality_metrics", "template_metrics"):
        if analyzer.has_extension(name):
            extension = analyzer.get_extension(name)
            table = _joined(table, extension.get_data(), probe)
            descriptions = {**extension.get_metric_column_descriptions(), **descriptions}
    if probe.labels is not None:
        table = _joined(table, probe.labels, probe)
    return table.reset_index(drop=True), descriptions


def _joined(table: pd.DataFrame, more: pd.DataFrame, probe: ProbeData) -> pd.DataFrame:
    more = more.set_axis(more.index.astype(str))  # ids that went through a text file may have become numbers
    missing = table.index.difference(more.index)
    if len(missing):
        raise BadDataError(
            f"{probe.key}: {len(missing)} units have no metrics or labels, the first is {missing[0]!r}. The curation "
            "and the analyzer are not of the same sorting; make curated_units again."
        )
    taken = RESERVED.union(table.columns)
    return table.join(more.loc[table.index, [name for name in more.columns if name not in taken]])


def _spike_columns(parts: list[ProbeUnits]) -> list[VectorData]:
    counts = np.concatenate([part.spike_counts for part in parts])
    times = np.concatenate([part.spike_times for part in parts])
    observed = [part.observed for part in parts for _ in range(len(part.table))]
    return [
        *_ragged(VectorData(name="spike_times", description="Spike times (s).", data=times), counts),
        *_ragged(
            VectorData(
                name="obs_intervals",
                description="Intervals (s) that were recorded.",
                data=np.concatenate(observed),
            ),
            [len(intervals) for intervals in observed],
        ),
    ]


def _electrode_columns(parts: list[ProbeUnits], nwbfile: NWBFile) -> list[VectorData]:
    electrodes = [rows for part in parts for rows in part.electrodes]
    region = DynamicTableRegion(
        name="electrodes",
        description="Electrodes of the unit, in the order of the waveforms' last axis.",
        data=np.concatenate(electrodes),
        table=nwbfile.electrodes,
    )
    group = VectorData(
        name="electrode_group",
        description="Group of the electrode where the unit is largest.",
        data=[group for part in parts for group in part.groups],
    )
    return [*_ragged(region, [len(rows) for rows in electrodes]), group]


def _waveform_columns(waveforms: MergedWaveforms) -> list[VectorData]:
    texts = {
        "waveform_mean": (waveforms.mean, "Mean waveform (V): samples x electrodes of the unit, then NaN."),
        "waveform_sd": (waveforms.sd, "Standard deviation (V) of the waveforms, as waveform_mean."),
    }
    return [
        VectorData(name=name, description=text, data=data)
        for name, (data, text) in texts.items()
        if data is not None
    ]


def _table_columns(parts: list[ProbeUnits]) -> list[VectorData]:
    table = pd.concat([part.table for part in parts], ignore_index=True)
    descriptions = {name: text for part in parts for name, text in part.descriptions.items()}
    return [
        VectorData(
            name=str(name), description=descriptions.get(name, "No description."), data=_plain(table[name])
        )
        for name in table.columns
    ]


def _ragged(column: VectorData, lengths: Sequence[int] | np.ndarray) -> list[VectorData]:
    """A column with several values a unit, and its index of where each unit's end."""
    return [VectorIndex(name=f"{column.name}_index", data=np.cumsum(lengths), target=column), column]


def _plain(column: pd.Series) -> np.ndarray:
    """A column as NWB stores it: numbers with NaN, booleans, or text with '' for what is not known."""
    missing = bool(column.isna().any())
    if pd.api.types.is_bool_dtype(column) and not missing:
        return column.to_numpy(dtype=bool)
    if pd.api.types.is_integer_dtype(column) and not missing:
        return column.to_numpy(dtype=np.int64)
    if pd.api.types.is_numeric_dtype(column) and not pd.api.types.is_bool_dtype(column):
        return column.to_numpy(dtype=np.float64, na_value=np.nan)
    try:
        return pd.to_numeric(column).to_numpy(dtype=np.float64, na_value=np.nan)
    except (TypeError, ValueError):
        return np.array(
            [str(value) if known else "" for value, known in zip(column, column.notna(), strict=True)]
        )
