"""What starting costs: `import tunesmith`, `tunesmith --help`, and a cached prediction of a loaded artifact.

Each run is a fresh process, and its CPU time counts from its first instruction to its end. The cached prediction is
counted from the end of `import dspy` on, on both sides: the model is the same server string, the reply lies in the
side's own disk cache, and the server is gone. The time on the clock stands beside it: it is mostly waiting for the disk
while a cache is opened, and says more about what else the disk has to do.
"""

import http.server
import json
import os
import subprocess
import sys
import tempfile
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import dspy
from measure import ENVIRONMENT, Row, child, in_turn, main, medians, ratio, spread
from noop import Mood, demos, label_of, save_untested, text_of

import tunesmith as ts

MODEL = "openai/noop"
SCRIPT = Path(__file__).with_name("first_prediction.py")
IMPORT, HELP, LOAD = 0.05, 0.12, 0.8


def process(*given: str) -> Callable[[], float]:
    """Return a function that gives the CPU seconds of `python <given>`."""

    def run() -> float:
        running = subprocess.Popen([sys.executable, *given], stdout=subprocess.DEVNULL, env=ENVIRONMENT)
        _, status, used = os.wait4(running.pid, 0)
        running.returncode = os.waitstatus_to_exitcode(status)
        if running.returncode != 0:
            raise AssertionError(f"python {given} ended with {running.returncode}")
        return used.ru_utime + used.ru_stime

    return run


def started() -> list[Row]:
    sides = {
        "import dspy": process("-c", "import dspy"),
        "import tunesmith": process("-c", "import tunesmith"),
        "tunesmith --help": process("-m", "tunesmith", "--help"),
        "nothing": process("-c", "pass"),
    }
    for side in sides.values():
        side()  # byte code
    found = in_turn(sides)
    details: dict[str, Any] = {"milliseconds": medians(found, 1e3)}

    def row(name: str, side: str, limit: float) -> Row:
        rounds = spread(found, side, "import dspy")
        what = f"CPU of a process, `{side}` / `import dspy`"
        figure = ratio(found, side, "import dspy")
        return Row(name, what, figure, limit, required=True, details={**details, "rounds": rounds})

    return [row("import", "import tunesmith", IMPORT), row("help", "tunesmith --help", HELP)]


class OneAnswer(http.server.BaseHTTPRequestHandler):
    """An OpenAI-compatible server that says what the side's format reads."""

    def do_POST(self) -> None:
        """Answer `text_of(0)`, which is all that is asked."""
        asked = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        marked = "[[ ##" in json.dumps(asked["messages"])
        label = label_of(0)
        text = f"[[ ## label ## ]]\n{label}\n\n[[ ## completed ## ]]" if marked else label
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


def write_programs(folder: Path, address: str) -> None:
    theirs = dspy.Predict(Mood)
    theirs.demos = demos(4)
    theirs.save(str(folder / "program.json"))
    ours = ts.Predict(Mood)
    candidate = ts.Candidate.of(ours).with_part("self", demos=tuple(ts.Demo.of(Mood, d) for d in demos(4)))
    save_untested(folder / "artifact", ours, candidate, ts.lm(MODEL, host=address))


def loaded() -> list[Row]:
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        env = {
            "DSPY_CACHEDIR": str(folder / "dspy"),
            "TUNESMITH_HOME": str(folder / "tunesmith"),
            "LITELLM_LOCAL_MODEL_COST_MAP": "true",
            "OPENAI_API_KEY": "none",
        }
        walls: dict[str, list[float]] = {"dspy": [], "tunesmith": []}

        def side(title: str, address: str) -> Callable[[], float]:
            def run() -> float:
                found = child(str(SCRIPT), title, folder, MODEL, address, text_of(0), env=env)
                if found["label"] != label_of(0):
                    raise AssertionError(f"a wrong answer: {found}")
                walls[title].append(found["wall"])
                return float(found["cpu"])

            return run

        with server() as address:
            write_programs(folder, address)
            sides = {title: side(title, address) for title in walls}
            for run in sides.values():
                run()  # fills the caches
        walls["dspy"].clear()
        walls["tunesmith"].clear()
        found = in_turn(sides)
    details = {
        "cpu_milliseconds": medians(found, 1e3),
        "wall_milliseconds": medians(walls, 1e3),
        "wall_ratio": round(ratio(walls, "tunesmith", "dspy"), 3),
        "rounds": spread(found, "tunesmith", "dspy"),
    }
    what = "CPU of loading a program and one cached prediction, beyond `import dspy`, tunesmith / dspy"
    return [Row("load_and_predict", what, ratio(found, "tunesmith", "dspy"), LOAD, details=details)]


def rows() -> list[Row]:
    return [*started(), *loaded()]


if __name__ == "__main__":
    main(rows)
