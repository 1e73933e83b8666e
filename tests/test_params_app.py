"""The editor of params files: served on this machine alone, and driven in a headless Chromium."""

from __future__ import annotations

import argparse
import http.client
import json
import os
import re
import shutil
import subprocess
import sys
import threading
import time
from contextlib import contextmanager
from pathlib import Path

import pytest

from spikepipe_assets.params_command import add_params_command
from spikepipe_core.params import default_params, merge, migrate
from spikepipe_core.params.checking import check_for_editor
from spikepipe_core.params.editor import EditorServer, app_folder
from spikepipe_core.params.migration import OLDER_KEYS
from spikepipe_core.params.model import Params
from spikepipe_core.params.structure import all_paths

REPOSITORY = Path(__file__).resolve().parents[1]
OLDER = {
    "pipeline_version": "1.3.1",
    "preprocessing": {"default_preprocessing_pipeline": {"highpass_filter": {"freq_min": 250}}},
    "curation": {"qc_thresholds": {"snr": {"greater": 4}}},
}


@pytest.fixture(scope="module")
def server():
    with EditorServer(0, check_for_editor, app_folder()) as running:
        threading.Thread(target=running.serve_forever, daemon=True).start()
        yield running
        running.shutdown()


def ask(server, method: str, path: str, body: bytes | None = None, **headers: str):
    connection = http.client.HTTPConnection("127.0.0.1", server.server_port, timeout=20)
    connection.request(method, path, body, {name.replace("_", "-"): value for name, value in headers.items()})
    answer = connection.getresponse()
    return answer.status, answer.read()


def test_the_page_and_the_exported_schema_are_served(server):
    assert server.url.startswith("http://127.0.0.1:")
    status, page = ask(server, "GET", "/")
    assert status == 200
    assert b"spikepipe" in page
    for reference in re.findall(r'(?:src|href)="([^"]+)"', page.decode()):
        assert not reference.startswith(("http", "//")), "nothing is fetched from elsewhere"
        assert ask(server, "GET", f"/{reference}")[0] == 200
    schema = (REPOSITORY / "spikepipe_core" / "params" / "default_params_schema.json").read_bytes()
    assert ask(server, "GET", "/default_params_schema.json")[1] == schema


@pytest.mark.parametrize(
    "path",
    ["/../pyproject.toml", "/%2e%2e/pyproject.toml", "/serve.py", "/js", "/nothing.js", "//etc/passwd"],
)
def test_nothing_else_is_served(server, path):
    assert ask(server, "GET", path)[0] == 404


def test_other_sites_are_refused(server):
    body = json.dumps(OLDER).encode()
    json_type = {"Content_Type": "application/json"}
    assert ask(server, "GET", "/", Host="evil.example")[0] == 404
    assert ask(server, "POST", "/check", body, Host="evil.example", **json_type)[0] == 400
    assert ask(server, "POST", "/check", body, Origin="http://evil.example", **json_type)[0] == 400
    assert ask(server, "POST", "/check", body, Content_Type="text/plain")[0] == 400
    assert ask(server, "POST", "/check", b"[1]", **json_type)[0] == 400


def test_check_migrates_and_tells_what_is_wrong(server):
    wrong = {**OLDER, "nwb": {"ecephys": {"backend": "hdf4"}, "echephys": {}}}
    status, answer = ask(
        server, "POST", "/check", json.dumps(wrong).encode(), Content_Type="application/json"
    )
    told = json.loads(answer)
    assert status == 200
    assert told["params"]["curation"] == {"query": "snr >= 4"}
    assert len(told["changes"]) == 3
    assert {problem["path"]: problem["suggestion"] for problem in told["problems"]} == {
        "nwb.ecephys.backend": 'did you mean "hdf5"?',
        "nwb.echephys": 'did you mean "ecephys"?',
    }


def test_serve_py_needs_nothing_installed():
    """Without site-packages it still serves, and migrates; only the whole check is left out."""
    command = [sys.executable, "-S", "-E", "-u", REPOSITORY / "params_app" / "serve.py", "0", "--no-browser"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, cwd="/") as process:
        try:
            line = process.stdout.readline()
            port = int(re.search(r"http://127\.0\.0\.1:(\d+)/", line)[1])
            connection = http.client.HTTPConnection("127.0.0.1", port, timeout=20)
            connection.request("POST", "/check", json.dumps(OLDER), {"Content-Type": "application/json"})
            answer = json.loads(connection.getresponse().read())
        finally:
            process.terminate()
    assert answer["params"]["preprocessing"] == {"highpass_filter": {"freq_min": 250}}
    assert answer["problems"] is None


HELD_BY_OLDER_KEYS = {
    "preprocessing.default_preprocessing_pipeline": {"phase_shift": {}},
    "postprocessing.extensions.noise_levels.random_slices_kwargs": {"seed": 1},
}


def test_the_keys_of_older_layouts_are_just_those_that_are_migrated():
    known = {".".join(path) for path in all_paths(Params)}
    for key in OLDER_KEYS:
        assert key not in known
        raw: object = HELD_BY_OLDER_KEYS.get(key)
        for part in reversed(key.split(".")):
            raw = {part: raw}
        assert migrate(raw)[1], f"{key} is not migrated"


# --- in the browser -------------------------------------------------------------------------------------------------


def chromium() -> str | None:
    names = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
    return next(filter(None, map(shutil.which, names)), None)


@contextmanager
def opened(tmp_path: Path, width: int = 1280, height: int = 900, dark: bool = False):
    """A headless Chromium with a profile of its own; downloads go to ``tmp_path``."""
    webdriver = pytest.importorskip("selenium.webdriver", reason="selenium is not installed")
    from selenium.webdriver.chrome.service import Service

    binary, driver = chromium(), shutil.which("chromedriver")
    if not binary or not driver:
        pytest.skip("no Chromium with ChromeDriver here")
    options = webdriver.ChromeOptions()
    options.binary_location = binary
    for argument in (
        "headless",
        "no-sandbox",
        "disable-gpu",
        "disable-quic",
        "no-first-run",
        "disable-background-networking",
        "disable-component-update",
        "disable-sync",
        "disable-dev-shm-usage",
        f"user-data-dir={tmp_path / 'profile'}",
        f"window-size={width},{height}",
    ):
        options.add_argument(f"--{argument}")
    options.add_experimental_option("prefs", {"download.default_directory": str(tmp_path)})
    options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
    browser = webdriver.Chrome(options=options, service=Service(driver))
    try:
        scheme = [{"name": "prefers-color-scheme", "value": "dark" if dark else "light"}]
        browser.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": scheme})
        browser.execute_cdp_cmd(
            "Emulation.setDeviceMetricsOverride",
            {"width": width, "height": height, "deviceScaleFactor": 1, "mobile": False},
        )
        yield Page(browser)
        assert [entry for entry in browser.get_log("browser") if entry["level"] == "SEVERE"] == []
    finally:
        browser.quit()


class Page:
    """The page as a person uses it."""

    def __init__(self, browser):
        self.browser = browser

    def open(self, url: str) -> Page:
        self.browser.get(url)
        self.until(lambda: self.js("return document.body.dataset.ready === 'true'"))
        return self

    def js(self, script: str, *arguments):
        return self.browser.execute_script(script, *arguments)

    def until(self, condition, seconds: float = 30):
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            found = condition()
            if found:
                return found
            time.sleep(0.05)
        raise AssertionError("this did not happen in time")

    def all(self, selector: str):
        return self.browser.find_elements("css selector", selector)

    def find(self, selector: str):
        return self.until(lambda: next(iter(self.all(selector)), None), 10)

    def key(self, path: str, inside: str = ""):
        """The row or group of a key, all that lies above it opened."""
        self.js(
            "arguments[0].split('.').forEach((_, i, keys) => {"
            " const found = document.querySelector(`[data-path=\"${keys.slice(0, i + 1).join('.')}\"]`);"
            " if (found && found.node.open) found.node.open(); });",
            path,
        )
        element = self.find(f'[data-path="{path}"] {inside}'.strip())
        self.js("arguments[0].scrollIntoView({block: 'center'})", element)
        return element

    def click(self, path: str, inside: str):
        self.js("arguments[0].click()", self.key(path, inside))

    def type(self, path: str, text: str, inside: str = ":is(input, textarea)"):
        element = self.key(path, inside)
        element.click()
        self.js("arguments[0].select()", element)
        element.send_keys(text)

    def choose(self, path: str, value: str, inside: str = "select"):
        from selenium.webdriver.support.ui import Select

        Select(self.key(path, inside)).select_by_visible_text(value)

    def text(self, selector: str) -> str:
        return self.find(selector).text

    def output(self, extent: str = "changed") -> dict:
        """What "Generate JSON" writes."""
        self.find("#generate").click()
        self.find(f'input[name="extent"][value="{extent}"]').click()
        written = json.loads(self.find("#output-text").get_property("value"))
        self.find("#output .close").click()
        return written

    def paste(self, element_id: str, text: str):
        self.js(
            "const e = document.getElementById(arguments[0]);"
            " e.value = arguments[1]; e.dispatchEvent(new Event('input'))",
            element_id,
            text,
        )


@pytest.fixture(scope="module")
def downloads(tmp_path_factory) -> Path:
    return tmp_path_factory.mktemp("downloads")


@pytest.fixture(scope="module")
def browser_page(downloads):
    with opened(downloads) as opened_page:
        yield opened_page


@pytest.fixture
def page(server, browser_page):
    """The page as it is opened for the first time."""
    browser_page.open(server.url)
    browser_page.js("localStorage.clear()")
    return browser_page.open(server.url)


def params_command(*arguments: str) -> int:
    parser = argparse.ArgumentParser()
    add_params_command(parser.add_subparsers())
    options = parser.parse_args(["params", *arguments])
    return options.command(options)


@pytest.mark.slow
def test_untouched_it_writes_the_built_in_defaults(page):
    assert page.output("changed") == {}
    assert page.output("all") == default_params()
    assert page.text("#count") == "all defaults"


@pytest.mark.slow
def test_every_kind_of_widget_and_the_way_from_the_defaults_to_a_valid_file(page, downloads, capsys):
    page.click("job_dispatch.debug", "input")
    page.type("job_dispatch.debug_duration", "120")
    page.choose("job_dispatch.input", "spikeglx")
    page.click("job_dispatch.nwb_files", ".kinds label:nth-child(2) input")
    page.type("job_dispatch.nwb_files", "a.nwb\nb.nwb", "textarea")
    page.type("preprocessing.job_kwargs.chunk_duration", "500ms")
    page.click("preprocessing.t_start", ".null-switch input")
    page.type("preprocessing.t_start", "12.5", "input[type=number]")
    page.click("preprocessing.custom_preprocessing_pipeline", ".null-switch input")
    page.paste(
        "p-preprocessing-custom_preprocessing_pipeline",
        '{"highpass_filter": {"freq_min": 250}, "whiten": {}}',
    )
    page.js(
        "const s = arguments[0]; s.value = '0.25'; s.dispatchEvent(new Event('input'))",
        page.key("preprocessing.max_bad_channel_fraction", "input[type=range]"),
    )
    page.click("preprocessing.detect_bad_channels.seed", ".null-switch input")
    page.type("preprocessing.motion_correction.detect_kwargs", "peak_sign\n", ".adder input")
    page.type("preprocessing.motion_correction.detect_kwargs.peak_sign", "pos")
    page.click("preprocessing.motion_correction.estimate_motion_kwargs", ".adder .quiet")
    page.click("spikesorting.sorter", ".null-switch input")
    page.type("spikesorting.sorter", "spykingcircus2")
    page.type("spikesorting", "tridesclous2\n", ".adder input[placeholder=name]")
    page.type("spikesorting.tridesclous2.min_drift_channels", "9")
    page.type("spikesorting.tridesclous2.sorter", "apply_preprocessing\n", ".adder input")
    page.type("spikesorting.tridesclous2.sorter.apply_preprocessing", "false")
    page.type("spikesorting.kilosort4.sorter.Th_universal", "8")
    page.click("spikesorting.kilosort4.sorter.do_CAR", "input")
    page.type("spikesorting.kilosort4.sorter.drift_smoothing", "[1, 1, 1]")
    page.type("spikesorting.kilosort4.sorter.torch_device", "cpu")
    page.type("spikesorting.spykingcircus2.sorter.detection.method_kwargs.detect_threshold", "6")
    page.click("postprocessing.extensions.spike_locations", ".null-switch input")
    page.click("postprocessing.extensions.amplitude_scalings", ".null-switch input")
    page.click("postprocessing.extensions.quality_metrics.metric_names", "input[value=drift]")
    page.click("postprocessing.extensions.quality_metrics.metric_names", "input[value=sd_ratio]")
    page.choose("postprocessing.extensions.quality_metrics.metric_params", "sd_ratio", ".adder select")
    page.click("postprocessing.extensions.quality_metrics.metric_params", ".adder:has(select) .small")
    page.type("curation.query", "snr > 5")
    page.click("curation.sua_mua_classifier", ".null-switch input")
    page.type("visualization.drift.figsize", "12", "input:first-child")
    page.click("nwb.ecephys.surface_channel_agar_probes_indices", ".kinds label:nth-child(2) input")
    page.paste("p-nwb-ecephys-surface_channel_agar_probes_indices", '{"ProbeA": 350}')

    expected = {
        "job_dispatch": {
            "debug": True,
            "debug_duration": 120,
            "input": "spikeglx",
            "nwb_files": ["a.nwb", "b.nwb"],
        },
        "preprocessing": {
            "job_kwargs": {"chunk_duration": "500ms"},
            "t_start": 12.5,
            "custom_preprocessing_pipeline": {"highpass_filter": {"freq_min": 250}, "whiten": {}},
            "max_bad_channel_fraction": 0.25,
            "detect_bad_channels": {"seed": None},
            "motion_correction": {"detect_kwargs": {"peak_sign": "pos"}, "estimate_motion_kwargs": {}},
        },
        "spikesorting": {
            "sorter": "spykingcircus2",
            "kilosort4": {
                "sorter": {
                    "Th_universal": 8,
                    "do_CAR": False,
                    "drift_smoothing": [1, 1, 1],
                    "torch_device": "cpu",
                }
            },
            "spykingcircus2": {"sorter": {"detection": {"method_kwargs": {"detect_threshold": 6}}}},
            "tridesclous2": {"min_drift_channels": 9, "sorter": {"apply_preprocessing": False}},
        },
        "postprocessing": {
            "extensions": {
                "spike_locations": None,
                "amplitude_scalings": None,
                "quality_metrics": {
                    "metric_names": [
                        *(
                            name
                            for name in default_params()["postprocessing"]["extensions"]["quality_metrics"][
                                "metric_names"
                            ]
                            if name != "drift"
                        ),
                        "sd_ratio",
                    ],
                    "metric_params": {"sd_ratio": {}},
                },
            }
        },
        "curation": {"query": "snr > 5", "sua_mua_classifier": None},
        "visualization": {"drift": {"figsize": [12, 10]}},
        "nwb": {"ecephys": {"surface_channel_agar_probes_indices": {"ProbeA": 350}}},
    }
    assert page.output("changed") == expected
    assert page.all(".row.wrong") == []

    page.find("#generate").click()
    page.find('input[value="all"]').click()
    page.find("#download").click()
    file = downloads / "params.json"
    page.until(file.is_file)
    assert json.loads(file.read_text()) == merge(("edited", expected))[0].to_dict()
    assert params_command("validate", str(file)) == 0
    assert "valid" in capsys.readouterr().out


@pytest.mark.slow
def test_changes_are_marked_found_and_reset_one_by_one_or_all(page):
    page.type("preprocessing.highpass_filter.freq_min", "250")
    page.type("curation.query", "snr > 5")
    assert page.text("#count") == "2 changed"
    assert page.text('#sections [data-section="preprocessing"] .mark') == "1"
    assert "default: 300" in page.key("preprocessing.highpass_filter.freq_min").text

    page.find("#only-changed").click()
    page.until(lambda: page.text("#found") == "2 keys")
    shown = [row.get_attribute("data-path") for row in page.all(".row") if row.is_displayed()]
    assert shown == ["preprocessing.highpass_filter.freq_min", "curation.query"]

    page.key("curation.query", ".reset").click()
    page.until(lambda: page.text("#count") == "1 changed")
    page.find("#only-changed").click()
    page.find("#reset-all").click()
    page.browser.switch_to.alert.accept()
    page.until(lambda: page.text("#count") == "all defaults")
    assert page.output("all") == default_params()


@pytest.mark.slow
def test_search_looks_in_keys_and_descriptions_and_opens_what_it_finds(page):
    page.find("#search").send_keys("agc window")
    page.until(lambda: page.text("#found") == "1 key")
    assert page.key("preprocessing.highpass_spatial_filter.agc_window_length_s").is_displayed()
    assert not page.find('[data-path="curation"]').is_displayed()
    page.js("document.getElementById('search').value = ''")
    page.find("#search").send_keys("zzzz")
    assert page.find("#nothing").is_displayed()


@pytest.mark.slow
def test_values_out_of_range_are_told_at_their_key(page):
    page.type("preprocessing.max_bad_channel_fraction", "3", "input[type=number]")
    page.until(lambda: page.text("#errors") == "1 error")
    assert "must be 1 or less" in page.key("preprocessing.max_bad_channel_fraction").text
    page.type("postprocessing.job_kwargs.chunk_duration", "1 second")
    page.until(lambda: page.text("#errors") == "2 errors")
    page.find("#collapse").click()
    page.find("#errors").click()
    assert page.js("return document.activeElement.id") == "p-preprocessing-max_bad_channel_fraction"


@pytest.mark.slow
def test_the_keyboard_is_enough(page):
    from selenium.webdriver.common.keys import Keys

    active = lambda: page.browser.switch_to.active_element  # noqa: E731
    page.find("body").send_keys("/")
    assert active().get_attribute("id") == "search"
    caret = page.find('[data-path="job_dispatch"] .caret')
    caret.send_keys(Keys.ENTER)
    assert caret.get_attribute("aria-expanded") == "false"
    caret.send_keys(Keys.SPACE)
    assert caret.get_attribute("aria-expanded") == "true"
    while active().get_attribute("id") != "p-job_dispatch-debug":
        active().send_keys(Keys.TAB)
    active().send_keys(Keys.SPACE)
    assert page.output() == {"job_dispatch": {"debug": True}}
    page.find("#tab-editor").send_keys(Keys.ARROW_RIGHT)
    assert page.find("#validate-text").is_displayed()
    assert active().get_attribute("id") == "tab-validate"


@pytest.mark.slow
def test_an_older_file_is_migrated_when_imported_and_that_is_said(page):
    page.find("#import").click()
    page.paste("import-text", json.dumps(OLDER))
    page.find("#import-take").click()
    notice = page.until(lambda: page.text("#notice"))
    assert "older layout" in notice
    assert "qc_thresholds became" in notice
    assert page.output() == {
        "preprocessing": {"highpass_filter": {"freq_min": 250}},
        "curation": {"query": "snr >= 4"},
    }


MERGED = [
    {
        "preprocessing": {
            "motion_correction": {"estimate_motion_kwargs": {}, "detect_kwargs": {"a": {"b": 1}}}
        }
    },
    {
        "postprocessing": {
            "extensions": {"amplitude_scalings": {}, "waveforms": None, "correlograms": {"x": 2}}
        }
    },
    {"postprocessing": {"extensions": {"quality_metrics": {"metric_params": {"snr": {"peak_sign": "pos"}}}}}},
    {
        "spikesorting": {
            "spykingcircus2": {"sorter": {"detection": {"method_kwargs": {"detect_threshold": 4}}}}
        }
    },
    {"preprocessing": {"custom_preprocessing_pipeline": {}}, "nwb": {"ecephys": {"lfp": {"filter": {}}}}},
    {"job_dispatch": {"spikeinterface_info": {"reader_type": "intan"}}},
]


@pytest.mark.slow
def test_a_partial_file_is_put_over_the_defaults_by_pythons_rules(page, monkeypatch):
    for raw in MERGED:
        page.find("#import").click()
        page.paste("import-text", json.dumps(raw))
        page.find("#import-take").click()
        page.until(lambda: page.text("#notice"))
        page.find("#notice .close").click()
        monkeypatch.setattr("spikepipe_core.params.merging.installed_problems", lambda *_: [])
        assert page.output("all") == merge(("file", raw))[0].to_dict(), raw


@pytest.mark.slow
def test_an_import_takes_what_it_can_and_tells_the_rest(page):
    page.find("#import").click()
    page.paste(
        "import-text", '{"curation": {"querry": 1, "query": null}, /* c */ "nwb": {"ecephys": {"stub": 3,}}}'
    )
    page.find("#import-take").click()
    notice = page.until(lambda: page.text("#notice"))
    assert "no such key: curation.querry" in notice
    assert "comments" in notice
    assert "true or false" in page.key("nwb.ecephys.stub").text
    page.find("#import").click()
    page.paste("import-text", "{")
    page.find("#import-take").click()
    page.until(lambda: "Nothing was changed" in page.text("#notice"))
    assert page.output() == {"curation": {"query": None}, "nwb": {"ecephys": {"stub": 3}}}


INVALID = """{
  // a probe of mine
  "preprocessing": {
    "highpas_filter": {},
    "filter_type": "low",
    "bandpass_filter": {"freq_min": 9000},
  },
  "nwb": {"ecephys": {"backend": 3, "lfp_temporal_factor": 1.5}}
}"""


@pytest.mark.slow
def test_an_invalid_file_is_told_with_paths_places_and_warnings(page):
    page.find("#tab-validate").click()
    page.paste("validate-text", INVALID)
    page.until(lambda: "freq_max" in page.text(".results"), 60)
    text = page.text(".results")
    assert "Invalid: 5 errors" in text
    for part in (
        "preprocessing.highpas_filter = {}",
        'did you mean "highpass_filter"?',
        "line 4, column 5",
        "must be below freq_max",
        "nwb.ecephys.lfp_temporal_factor = 1.5",
        "2 warnings",
        "a comment",
        "a trailing comma",
    ):
        assert part in text, part
    page.all(".problems .link")[0].click()
    area = page.find("#validate-text")
    start, end = area.get_property("selectionStart"), area.get_property("selectionEnd")
    assert INVALID[start:end] == '"highpas_filter"'


@pytest.mark.slow
def test_text_that_is_no_json_is_told_where(page):
    page.find("#tab-validate").click()
    page.paste("validate-text", '{"curation": {"query": null}\n "nwb": {}, "nwb": {}')
    text = page.until(lambda: page.text(".results"))
    assert "Not readable" in text
    assert "line 2, column 2" in text
    assert "twice" in text


@pytest.mark.slow
def test_a_valid_file_can_be_opened_in_the_editor(page):
    page.find("#tab-validate").click()
    page.paste("validate-text", json.dumps(OLDER))
    page.until(lambda: "Valid" in page.text(".results") and "3 changes" in page.text(".results"))
    page.find("#validate-open").click()
    page.until(lambda: page.text("#count") == "2 changed")
    assert page.find("#editor").is_displayed()


@pytest.mark.slow
def test_edits_outlive_a_reload(page, server):
    page.type("curation.query", "snr > 5")
    page.until(lambda: page.text("#count") == "1 changed")
    page.open(server.url)
    assert "latest edits" in page.text("#notice")
    assert page.output() == {"curation": {"query": "snr > 5"}}
    page.find("#notice .small").click()
    assert page.output() == {}


@pytest.mark.slow
def test_opened_as_a_file_it_works_and_names_the_command_for_older_files(tmp_path):
    with opened(tmp_path) as page:
        page.open((app_folder() / "index.html").as_uri())
        page.type("curation.query", "snr > 5")
        assert page.output() == {"curation": {"query": "snr > 5"}}
        page.find("#import").click()
        page.paste("import-text", json.dumps(OLDER))
        page.find("#import-take").click()
        assert "spikepipe params migrate" in page.until(lambda: page.text("#notice"))
        page.find("#tab-validate").click()
        page.paste("validate-text", json.dumps(OLDER))
        assert "spikepipe params migrate" in page.until(lambda: page.text(".results"))
        page.paste("validate-text", '{"nwb": {"ecephys": {"backend": "hdf4"}}}')
        page.until(lambda: 'did you mean "hdf5"?' in page.text(".results"))


CONTRAST = """
const lit = (c) => { const v = c / 255; return v <= 0.03928 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4; };
const parse = (text) => { const c = document.createElement('canvas').getContext('2d', {willReadFrequently: true});
  c.fillStyle = text; c.fillRect(0, 0, 1, 1); return [...c.getImageData(0, 0, 1, 1).data]; };
const light = ([r, g, b]) => 0.2126 * lit(r) + 0.7152 * lit(g) + 0.0722 * lit(b);
const ground = (e) => { for (; e; e = e.parentElement) { const c = parse(getComputedStyle(e).backgroundColor);
  if (c[3] > 250) return c; } return [255, 255, 255, 255]; };
return [...document.querySelectorAll('label, p, button:not(:disabled), a, .standard, .preview, h1, input, select')]
  .filter((e) => e.checkVisibility() && e.textContent.trim())
  .map((e) => { const [a, b] = [light(parse(getComputedStyle(e).color)), light(ground(e))];
    return [(Math.max(a, b) + 0.05) / (Math.min(a, b) + 0.05), e.outerHTML.slice(0, 80)]; })
  .filter(([ratio]) => ratio < 4.5);
"""


@pytest.mark.slow
@pytest.mark.parametrize("width", [1280, 390])
@pytest.mark.parametrize("dark", [False, True], ids=["light", "dark"])
def test_readable_wide_and_narrow_light_and_dark(server, tmp_path, width, dark):
    with opened(tmp_path, width, 844, dark) as page:
        page.open(server.url)
        page.type("preprocessing.max_bad_channel_fraction", "3", "input[type=number]")
        page.until(lambda: page.text("#errors"))
        page.js("document.getElementById('expand').click()")
        assert page.js("const r = document.documentElement; return r.scrollWidth <= r.clientWidth")
        cut = page.js(
            "return [...document.querySelectorAll('.row, .group-head, .toolbar .buttons > *')].filter((e) =>"
            " e.checkVisibility()).filter((e) => e.getBoundingClientRect().right > innerWidth + 1"
            " || e.getBoundingClientRect().left < -1).map((e) => e.outerHTML.slice(0, 80))"
        )
        assert cut == []
        ground = page.js("return getComputedStyle(document.body).backgroundColor")
        assert (sum(map(int, re.findall(r"\d+", ground)[:3])) < 200) is dark
        assert page.js(CONTRAST) == [], "text of too little contrast (WCAG AA: 4.5)"
        page.find("#tab-validate").click()
        page.paste("validate-text", INVALID)
        page.until(lambda: page.text(".results"))
        assert page.js("const r = document.documentElement; return r.scrollWidth <= r.clientWidth")


def test_the_app_has_no_build_step_and_its_libraries_their_licences():
    app = app_folder()
    licences = (app / "vendor" / "LICENSES.txt").read_text()
    for library in ("ajv", "jsonc-parser", "fastest-levenshtein"):
        assert f"=== {library} " in licences
    assert os.access(app / "index.html", os.R_OK)
