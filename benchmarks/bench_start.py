"""What starting costs: imports, help, completion, and a cached prediction of a loaded artifact.

Each run is a fresh process, and its CPU time counts from its first instruction to its end. All sides take turns. The
cached prediction counts from the end of `import dspy`, for both libraries: the model is the same server string, the
reply is in the library's own disk cache, and the server is gone. The time on the clock stands beside it: it is mostly
the disk while a cache is opened.

With TUNESMITH_BASE=FOLDER, a tree of another commit (`git worktree add FOLDER COMMIT`), the same lines run on that tree
as well, in turn with the others and with the same installed libraries; the details then hold its figures.
"""

import http.server
import json
import os
import statistics
import subprocess
import sys
import tempfile
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from measure import ENVIRONMENT, Row, child, in_turn, main, medians, ratio, spread

HERE = Path(__file__).parent
SCRIPT = HERE / "first_prediction.py"
BASE = os.environ.get("TUNESMITH_BASE")
TREES = {"tunesmith": str(HERE.parent), **({} if BASE is None else {"base": BASE})}

FIRST_LINE = "import tunesmith as ts; ts.Predict, ts.lm, ts.evaluate, ts.RandomSearch"
VERBS = ("init", "doctor", "models", "predict", "eval", "check", "compile", "show", "sign", "runs", "cache", "demo")
COMPLETION = {"_TUNESMITH_COMPLETE": "bash_complete", "COMP_WORDS": "tunesmith compile --", "COMP_CWORD": "2"}
COMMAND_LINE = "from tunesmith.cli import main; main(prog_name='tunesmith')"
IMPORT, HELP, VERB_HELP, FIRST, LOAD = 0.05, 0.12, 0.15, 1.25, 0.6


def process(*given: str, tree: str = "tunesmith", **environment: str) -> Callable[[], float]:
    """Return a function that gives the CPU seconds of `python <given>` on one of `TREES`."""
    env = {**ENVIRONMENT, "PYTHONPATH": TREES[tree], **environment}

    def run() -> float:
        running = subprocess.Popen([sys.executable, *given], stdout=subprocess.DEVNULL, env=env)
        _, status, used = os.wait4(running.pid, 0)
        running.returncode = os.waitstatus_to_exitcode(status)
        if running.returncode != 0:
            raise AssertionError(f"python {given} ended with {running.returncode}")
        return used.ru_utime + used.ru_stime

    return run


def started() -> list[Row]:
    def line(*arguments: str, **environment: str) -> Callable[[], float]:
        return process("-P", "-c", COMMAND_LINE, *arguments, **environment)

    sides = {
        "nothing": process("-P", "-c", "pass"),
        "import dspy": process("-P", "-c", "import dspy"),
        "import tunesmith": process("-P", "-c", "import tunesmith"),
        "first line": process("-P", "-c", FIRST_LINE),
        "--help": line("--help"),
        "--version": line("--version"),
        "completion": line(**COMPLETION),
        **{f"{verb} --help": line(verb, "--help") for verb in VERBS},
    }
    if BASE is not None:
        sides["base: first line"] = process("-P", "-c", FIRST_LINE, tree="base")
        sides["base: compile --help"] = line("compile", "--help", tree="base")
    for side in sides.values():
        side()  # byte code
    found = in_turn(sides)
    figures = {name: ratio(found, name, "import dspy") for name in sides}
    details: dict[str, Any] = {"milliseconds": medians(found, 1e3)}

    def row(name: str, side: str, what: str, limit: float, *, required: bool = True, **more: Any) -> Row:
        rounds = spread(found, side, "import dspy")
        own = {**details, **more, "rounds": rounds}
        return Row(name, f"CPU of {what} / `import dspy`", figures[side], limit, required=required, details=own)

    def base(side: str) -> dict[str, Any]:
        return {} if BASE is None else {"base": round(figures[f"base: {side}"], 4)}

    slowest = max((f"{verb} --help" for verb in VERBS), key=figures.__getitem__)
    verbs = {
        name: round(figures[name], 4) for name in sides if name.endswith(" --help") and not name.startswith("base")
    }
    return [
        row("import", "import tunesmith", "`import tunesmith`", IMPORT),
        row("help", "--help", "`tunesmith --help`", HELP),
        row("version", "--version", "`tunesmith --version`", VERB_HELP),
        row("completion", "completion", "completing `tunesmith compile --` in bash", HELP),
        row(
            "verb_help",
            slowest,
            "the slowest `tunesmith VERB --help`",
            VERB_HELP,
            verbs=verbs,
            **base("compile --help"),
        ),
        row("first_line", "first line", f"`{FIRST_LINE}`", FIRST, required=False, **base("first line")),
    ]


class OneAnswer(http.server.BaseHTTPRequestHandler):
    """An OpenAI-compatible server that gives one label, in the form that the client's format reads."""

    def do_POST(self) -> None:
        """Answer `positive`."""
        asked = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        marked = "[[ ##" in json.dumps(asked["messages"])
        text = "[[ ## label ## ]]\npositive\n\n[[ ## completed ## ]]" if marked else "positive"
        message = {"role": "assistant", "content": text}
        body = json.dumps(
            {
                "id": "1",
                "object": "chat.completion",
                "created": 1,
                "model": asked["model"],
                "choices": [{"index": 0, "message": message, "finish_reason": "stop"}],
                "usage": {"prompt_tokens": 10, "completion_tokens": 2, "total_tokens": 12},
            }
        ).encode()
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *given: object) -> None:
        """Say nothing."""


@contextmanager
def server() -> Iterator[str]:
    """Serve on a free port of this machine; gives the address."""
    running = http.server.ThreadingHTTPServer(("127.0.0.1", 0), OneAnswer)
    thread = threading.Thread(target=running.serve_forever, daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{running.server_port}/v1"
    finally:
        running.shutdown()
        running.server_close()
        thread.join()


def homes(folder: Path, tree: str) -> dict[str, str]:
    """Return the environment of a side: its tree, and caches of its own."""
    return {
        "PYTHONPATH": TREES[tree],
        "DSPY_CACHEDIR": str(folder / "dspy"),
        "TUNESMITH_HOME": str(folder / "tunesmith"),
        "LITELLM_LOCAL_MODEL_COST_MAP": "true",
        "OPENAI_API_KEY": "none",
    }


def loaded() -> list[Row]:
    sides_of: Mapping[str, tuple[str, str]] = {
        "dspy": ("dspy", "tunesmith"),
        **{tree: ("tunesmith", tree) for tree in TREES},
    }
    walls: dict[str, list[float]] = {name: [] for name in sides_of}
    with tempfile.TemporaryDirectory() as name:
        folders = {side: Path(name) / side for side in sides_of}

        def asked(task: str, side: str, address: str) -> Any:
            library, tree = sides_of[side]
            folders[side].mkdir(exist_ok=True)
            return child(str(SCRIPT), task, library, folders[side], address, env=homes(folders[side], tree))

        def measured(side: str, address: str) -> Callable[[], float]:
            def run() -> float:
                found = asked("predict", side, address)
                if found["label"] != "positive":
                    raise AssertionError(f"a wrong answer: {found}")
                walls[side].append(found["wall"])
                return float(found["cpu"])

            return run

        with server() as address:
            for side in sides_of:
                asked("write", side, address)
                asked("predict", side, address)  # fills the cache
        found = in_turn({side: measured(side, address) for side in sides_of})
    details: dict[str, Any] = {
        "cpu_milliseconds": medians(found, 1e3),
        "wall_milliseconds": medians(walls, 1e3),
        "wall_ratio": round(ratio(walls, "tunesmith", "dspy"), 3),
        "rounds": spread(found, "tunesmith", "dspy"),
    }
    if BASE is not None:
        details["base"] = round(statistics.median(found["base"]) / statistics.median(found["dspy"]), 4)
    what = "CPU of loading a program and one cached prediction, beyond `import dspy`, tunesmith / dspy"
    return [Row("load_and_predict", what, ratio(found, "tunesmith", "dspy"), LOAD, details=details)]


def rows() -> list[Row]:
    return [*started(), *loaded()]


if __name__ == "__main__":
    main(rows)
