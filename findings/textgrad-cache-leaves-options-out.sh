#!/usr/bin/env bash
# textgrad 0.1.8: the reply cache leaves the options out, so that a reply that was cut short stays cut.
#
# Guess before running it: another temperature or another `max_tokens` is another request, and is sent.
# Seen: the key is the system prompt with the prompt after it, and nothing else but the model's name. A reply that was cut at
# `max_tokens=5` comes back for `max_tokens=2000`, and every draw at temperature 1 is the first reply, also in later processes, since
# the cache is on the disk. This engine has no option that turns it off. Nothing stands between the two texts either: a system prompt
# "Be brief.Say" with the prompt " it." has the reply of the system prompt "Be brief." with the prompt "Say it.".
#
# In tunesmith: everything that is sent is in the key, and each draw of a text has a key of its own.
# Needs a network with a Python package index. Fails if the behaviour changes.
set -euo pipefail
work=$(mktemp -d); trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet --disable-pip-version-check 'textgrad==0.1.8'
cat > "$work/try.py" <<'PY'
import json
import os
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer


class Handler(BaseHTTPRequestHandler):
    """Answers with the number of the request and the options it came with."""

    def do_POST(self):
        asked = json.loads(self.rfile.read(int(self.headers["content-length"])))
        requests.append(asked)
        text = f"reply {len(requests)} with {asked['max_tokens']} tokens at {asked['temperature']}"
        choice = {"index": 0, "finish_reason": "stop", "message": {"role": "assistant", "content": text}}
        reply = {"id": "1", "object": "chat.completion", "created": 1, "model": "m", "choices": [choice]}
        body = json.dumps(reply).encode()
        self.send_response(200)
        self.send_header("content-type", "application/json")
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_):
        pass


requests = []
server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
threading.Thread(target=server.serve_forever, daemon=True).start()
os.environ["OLLAMA_BASE_URL"] = f"http://127.0.0.1:{server.server_port}/v1"

import textgrad  # reads the address when it is imported

engine = textgrad.get_engine("ollama-m")
for max_tokens, temperature in ((5, 0), (2000, 0), (2000, 1), (2000, 1)):
    print(engine.generate("Say it.", system_prompt="Be brief.", max_tokens=max_tokens, temperature=temperature))
print(engine.generate(" it.", system_prompt="Be brief.Say"))
print(engine.generate("it.", system_prompt="Be brief.Say"))
print("requests:", len(requests))
PY
cd "$work"  # it makes a folder `logs` where it runs
found=$(XDG_CACHE_HOME="$work/cache" "$work/venv/bin/python" "$work/try.py" 2>/dev/null)
wanted='reply 1 with 5 tokens at 0
reply 1 with 5 tokens at 0
reply 1 with 5 tokens at 0
reply 1 with 5 tokens at 0
reply 1 with 5 tokens at 0
reply 2 with 2000 tokens at 0
requests: 2'
echo "$found"
[ "$found" = "$wanted" ] || { echo "The behaviour has changed." >&2; exit 1; }
