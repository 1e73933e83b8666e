"""What a stream is, told from its name, channels, rate, units and geometry."""

from __future__ import annotations

import pytest

from spikepipe_core.ingest.classification import StreamFacts, classify


@pytest.mark.parametrize(
    ("name", "kind"),
    [
        ("imec0.ap", "AP"),
        ("imec0.lf", "LFP"),
        ("imec0.ap-SYNC", "sync"),
        ("Record Node 101#Neuropix-PXI-100.ProbeA-APSYNC", "sync"),
        ("nidq", "analog"),
        ("obx0", "analog"),
        ("Record Node 101#Neuropix-PXI-100.ProbeA-AP", "AP"),
        ("Record Node 101#Neuropix-PXI-100.ProbeA-LFP", "LFP"),
        ("Record Node 101#Neuropix-PXI-100.ProbeB", "wide-band"),
        ("Record Node 101#NI-DAQmx-103.PXIe-6341", "analog"),
        ("OneBox-100.OneBox-ADC", "analog"),
        ("OneBox-100.ProbeA", "wide-band"),
        ("RHD2000 amplifier channel", "wide-band"),
        ("RHD2000 auxiliary input channel", "analog"),
        ("USB board digital input channel", "digital"),
        ("ElectricalSeriesAP", "AP"),
        ("ElectricalSeriesLFP", "LFP"),
        ("Caption", "unknown"),
        ("nsx5", "unknown"),
    ],
)
def test_names_of_acquisition_software(name, kind):
    found = classify(StreamFacts(name))
    assert found.kind == kind
    assert found.reason
    assert found.is_sortable == (kind in ("AP", "wide-band"))


@pytest.mark.parametrize("name", ["Probe_sync", "nidq", "ADC", "x"])
def test_known_electrodes_make_it_a_probe_whatever_its_name(name):
    facts = StreamFacts(name, sampling_frequency=30_000.0, units=["uV"], has_geometry=True)
    assert classify(facts).kind == "wide-band"


@pytest.mark.parametrize(("rate", "kind"), [(2_500.0, "LFP"), (9_999.0, "LFP"), (10_000.0, "wide-band")])
def test_slow_streams_of_a_probe_are_lfp(rate, kind):
    assert classify(StreamFacts("ElectricalSeries", sampling_frequency=rate, has_geometry=True)).kind == kind


def test_a_slow_stream_of_nothing_known_is_not_taken_for_a_probes():
    assert classify(StreamFacts("rotary encoder", sampling_frequency=1_000.0, units=["V"])).kind == "unknown"


def test_channels_tell_what_the_stream_does_not():
    def kind(*channels):
        return classify(StreamFacts("Acquisition_Board-100.board", channels)).kind

    assert kind("ADC1", "ADC2") == "analog"
    assert kind("CH1", "CH2") == "wide-band"
    assert kind("CH1", "ADC1") == "unknown"


def test_what_is_not_in_volts_is_no_electrode():
    found = classify(StreamFacts("Probe", units=["degC"]))
    assert found.kind == "unknown"
    assert "'degC'" in found.reason


def test_an_ap_band_that_was_not_filtered_is_wide_band():
    facts = StreamFacts("imec0.ap", has_geometry=True, keeps_low_frequencies=True)
    assert classify(facts).kind == "wide-band"
