"""What is in an NWB file, in a few numbers that a person would ask for."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from pynwb import NWBFile


def inspect_nwb(path: Path) -> dict[str, Any]:
    """Summarize an NWB file of a session.

    Parameters
    ----------
    path : Path
        File (HDF5) or folder (Zarr).

    Returns
    -------
    dict
        `identifier`, `session_start_time` (ISO 8601), `subject`, `electrodes`, `units`, `size_bytes`, and under
        `probes` for each key its `electrodes`, `units`, `lfp` and `raw` (samples, channels, Hz; None if not in the
        file). JSON types only.
    """
    from pynwb import read_nwb

    nwbfile = read_nwb(str(path))
    try:
        return {**_summary(nwbfile), "size_bytes": _size(path)}
    finally:
        nwbfile.get_read_io().close()


def _summary(nwbfile: NWBFile) -> dict[str, Any]:
    electrodes = Counter(nwbfile.electrodes["probe"][:]) if nwbfile.electrodes is not None else Counter()
    units = Counter(nwbfile.units["probe"][:]) if nwbfile.units is not None else Counter()
    lfp = nwbfile.processing["ecephys"]["LFP"].electrical_series if "ecephys" in nwbfile.processing else {}
    return {
        "identifier": nwbfile.identifier,
        "session_start_time": nwbfile.session_start_time.isoformat(),
        "subject": nwbfile.subject.subject_id if nwbfile.subject else None,
        "electrodes": sum(electrodes.values()),
        "units": sum(units.values()),
        "probes": {
            str(probe): {
                "electrodes": count,
                "units": units.get(probe, 0),
                "lfp": _series(lfp, f"ElectricalSeries{probe}-LFP"),
                "raw": _series(nwbfile.acquisition, f"ElectricalSeries{probe}"),
            }
            for probe, count in electrodes.items()
        },
    }


def _series(container: Any, name: str) -> dict[str, Any] | None:
    """Shape of a series; of several segments, the samples of all."""
    parts = [container[key] for key in container if key == name or _is_segment(key, name)]
    if not parts:
        return None
    return {
        "samples": sum(int(part.data.shape[0]) for part in parts),
        "channels": int(parts[0].data.shape[1]),
        "rate_hz": float(parts[0].rate) if parts[0].rate else None,
    }


def _is_segment(key: str, name: str) -> bool:
    return key.startswith(f"{name}-") and key.removeprefix(f"{name}-").isdigit()


def _size(path: Path) -> int:
    if path.is_file():
        return path.stat().st_size
    return sum(file.stat().st_size for file in path.rglob("*") if file.is_file())
