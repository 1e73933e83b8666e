"""A stand-in for a cluster's API server: a Job's container runs as a process of this machine.

It stands at the process' edge: dagster-k8s talks to it over HTTP as to a real one. It knows jobs and their pods, in
memory, on loopback; it schedules nothing, isolates nothing and enforces no limit.
"""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import threading
import uuid
from dataclasses import dataclass, field
from datetime import UTC, datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

_PATH = re.compile(
    r"/(?:api|apis/batch)/v1/namespaces/(?P<namespace>[^/]+)/(?P<kind>\w+)(?:/(?P<name>[^/?]+))?(?:/\w+)?"
)


@dataclass
class Cluster:
    """What the stand-in holds.

    Attributes
    ----------
    folder : Path
        Where the pods' logs and the kubeconfig go.
    environment : dict
        Variables that every container gets beside its own, such as PATH.
    killed_once : set of str
        Steps (label ``dagster/op``) whose first pod is killed as the kernel does when memory runs out.
    """

    folder: Path
    environment: dict[str, str]
    killed_once: set[str] = field(default_factory=set)
    jobs: dict[str, dict[str, Any]] = field(default_factory=dict)
    pods: dict[str, dict[str, Any]] = field(default_factory=dict)
    lock: threading.RLock = field(default_factory=threading.RLock)
    processes: dict[str, subprocess.Popen] = field(default_factory=dict)

    def create(self, job: dict[str, Any], namespace: str) -> dict[str, Any]:
        """Take a Job and run its pod."""
        job["metadata"] |= {"namespace": namespace, "uid": str(uuid.uuid4())}
        job["status"] = {}
        self.jobs[job["metadata"]["name"]] = job
        threading.Thread(target=self._run, args=(job,), daemon=True).start()
        return job

    def delete(self, name: str) -> None:
        """Delete a Job: its pod's processes get SIGTERM."""
        self.jobs.pop(name, None)
        process = self.processes.get(name)
        if process and process.poll() is None:
            os.killpg(process.pid, signal.SIGTERM)

    def close(self) -> None:
        """End all pods."""
        for process in self.processes.values():
            if process.poll() is None:
                os.killpg(process.pid, signal.SIGKILL)

    def _run(self, job: dict[str, Any]) -> None:
        name = job["metadata"]["name"]
        pod = json.loads(json.dumps(job["spec"]["template"]))
        pod.setdefault("metadata", {}).update(name=f"{name}-pod", namespace=job["metadata"]["namespace"])
        pod["metadata"].setdefault("labels", {})["job-name"] = name
        pod["status"] = {"phase": "Running"}
        container = pod["spec"]["containers"][0]
        with self.lock:
            self.pods[f"{name}-pod"] = pod
            job["status"] = {"active": 1}
        step = pod["metadata"]["labels"].get("dagster/op")
        if step in self.killed_once:
            self.killed_once.discard(step)
            self._end(job, pod, container, 137, "OOMKilled")
            return
        command = [*container.get("command", []), *container.get("args", [])]
        values = {one["name"]: one["value"] for one in container.get("env", []) if "value" in one}
        with (self.folder / f"{name}.log").open("wb") as log:
            process = subprocess.Popen(
                command,
                # Paths that a container would have of its own are given by the test.
                env={**values, **self.environment},
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
            self.processes[name] = process
            code = process.wait()
        self._end(job, pod, container, code, "Completed" if code == 0 else "Error")

    def _end(self, job: dict, pod: dict, container: dict, code: int, reason: str) -> None:
        with self.lock:
            ended = {"exitCode": abs(code), "reason": reason, "finishedAt": datetime.now(UTC).isoformat()}
            pod["status"] = {
                "phase": "Failed" if code else "Succeeded",
                "containerStatuses": [
                    {
                        "name": container["name"],
                        "image": "none",
                        "imageID": "",
                        "ready": False,
                        "restartCount": 0,
                        "state": {"terminated": ended},
                    }
                ],
            }
            job["status"] = {"failed": 1} if code else {"succeeded": 1}


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    cluster: Cluster

    def log_message(self, format: str, *arguments: Any) -> None:
        """Say nothing on the terminal."""

    def do_POST(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        place = _PATH.match(self.path)
        assert place and place["kind"] == "jobs", self.path
        with self.cluster.lock:
            self._answer(self.cluster.create(body, place["namespace"]), 201)

    def do_GET(self) -> None:
        place = _PATH.match(self.path)
        assert place, self.path
        with self.cluster.lock:
            things = getattr(self.cluster, place["kind"], {})
            if place["name"]:
                found = things.get(place["name"])
                self._answer(
                    found or {"kind": "Status", "reason": "NotFound", "code": 404}, 200 if found else 404
                )
                return
            job = re.search(r"job-name%3D([^&]+)", self.path)
            items = [
                one
                for one in things.values()
                if not job or one["metadata"]["labels"].get("job-name") == job[1]
            ]
            self._answer({"kind": "List", "metadata": {}, "items": items})

    def do_DELETE(self) -> None:
        self.rfile.read(int(self.headers.get("Content-Length") or 0))
        place = _PATH.match(self.path)
        assert place, self.path
        if place["kind"] == "jobs":
            self.cluster.delete(place["name"])
        self._answer({"kind": "Status", "status": "Success"})

    def _answer(self, body: dict[str, Any], code: int = 200) -> None:
        text = json.dumps(body).encode()
        self.send_response(code)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(text)))
        self.end_headers()
        self.wfile.write(text)


def serve(cluster: Cluster) -> tuple[ThreadingHTTPServer, Path]:
    """Serve a cluster on a free port of this machine; returns the server and a kubeconfig for it."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), type("Handler", (_Handler,), {"cluster": cluster}))
    server.daemon_threads = True
    threading.Thread(target=server.serve_forever, daemon=True).start()
    kubeconfig = cluster.folder / "kubeconfig.json"
    kubeconfig.write_text(
        json.dumps(
            {
                "apiVersion": "v1",
                "kind": "Config",
                "current-context": "stand-in",
                "clusters": [
                    {"name": "stand-in", "cluster": {"server": f"http://127.0.0.1:{server.server_port}"}}
                ],
                "users": [{"name": "nobody", "user": {}}],
                "contexts": [{"name": "stand-in", "context": {"cluster": "stand-in", "user": "nobody"}}],
            }
        )
    )
    return server, kubeconfig
