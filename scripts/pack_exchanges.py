#!/usr/bin/env python3
"""pack_exchanges.py DIR OUT: packs recorded scenarios (DIR/*.json) into one gzip file, the same bytes each time."""
import gzip
import json
import pathlib
import sys

folder, out = map(pathlib.Path, sys.argv[1:3])
scenarios = [json.loads(path.read_text()) for path in sorted(folder.glob("*.json"))]
text = json.dumps(scenarios, separators=(",", ":"), sort_keys=True, ensure_ascii=False)
with open(out, "wb") as raw, gzip.GzipFile(filename="", mode="wb", fileobj=raw, compresslevel=9, mtime=0) as packed:
    packed.write(text.encode())
print(f"{len(scenarios)} scenarios, {out.stat().st_size} bytes")
