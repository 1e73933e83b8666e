"""Of every format, what is preprocessed is what SpikeInterface's own reader and functions give."""

from __future__ import annotations

from functools import partial

import numpy as np
import pytest
import spikeinterface.extractors as se
import spikeinterface.preprocessing as spre

from spikepipe_core.demo import write_demo_session
from spikepipe_core.produce import produce
from spikepipe_core.stages.preprocessing import preprocess
from spikepipe_core.stages.recording import load_recording

DEAD, NOISY = 3, 9  # by index; taken for bad here, whatever they are

READERS = {
    "spikeglx": lambda data: se.read_spikeglx(data / "demo_g0", stream_id="imec0.ap"),
    "openephys": lambda data: se.read_openephys(
        data / "demo_g0", stream_name="Record Node 101#Neuropix-PXI-100.imec0-AP", load_sync_timestamps=False
    ),
    "nwb": lambda data: se.read_nwb_recording(
        data / "demo_g0.nwb", electrical_series_path="acquisition/ElectricalSeriesAPimec0"
    ),
}

FILTERS = {
    "highpass": partial(spre.highpass_filter, freq_min=300.0, margin_ms=5.0),
    "bandpass": partial(spre.bandpass_filter, freq_min=300.0, freq_max=6000.0, margin_ms=5.0),
}


@pytest.fixture(scope="module", params=READERS)
def recordings(request, tmp_path_factory, make_work):
    """The demo session's probe as our reader and as SpikeInterface's opens it."""
    folder = tmp_path_factory.mktemp(request.param)
    write_demo_session(folder / "data", probes=1, seconds=2, channels=16, format=request.param)
    work = make_work(folder / "data", folder / "results")
    produce(work.stages["recording"], work)
    return load_recording(work), READERS[request.param](folder / "data")


@pytest.mark.parametrize("strategy", ["cmr", "destripe"])
@pytest.mark.parametrize("filter_type", FILTERS)
def test_traces_equal_plain_spikeinterfaces(recordings, tiny_params, filter_type, strategy):
    """At most one bit apart."""
    raw, plain = recordings
    labels = dict.fromkeys(map(str, raw.channel_ids), "good")
    labels |= {str(raw.channel_ids[DEAD]): "dead", str(raw.channel_ids[NOISY]): "noise"}
    params = tiny_params(preprocessing={"filter_type": filter_type, "denoising_strategy": strategy})
    ours = preprocess(raw, params.preprocessing, detect=lambda _: labels)

    bad = plain.channel_ids[[DEAD, NOISY]]
    plain = FILTERS[filter_type](plain)
    plain = spre.phase_shift(plain, margin_ms=100.0)  # every format declares the offsets
    if strategy == "cmr":
        plain = spre.common_reference(plain.remove_channels(bad), reference="global", operator="median")
    else:
        plain = spre.highpass_spatial_filter(
            spre.interpolate_bad_channels(plain, bad),
            n_channel_pad=16,
            n_channel_taper=None,
            agc_window_length_s=0.01,
            highpass_butter_wn=0.01,
        ).remove_channels(bad)

    assert np.array_equal(ours.recording.get_channel_locations(), plain.get_channel_locations())
    assert np.array_equal(ours.recording.get_channel_gains(), plain.get_channel_gains())
    one, two = (recording.get_traces().astype("int32") for recording in (ours.recording, plain))
    assert one.shape == two.shape and np.abs(one - two).max() <= 1
    assert np.abs(one).max() > 20, "there is a signal to compare"
