# SPDX-License-Identifier: Apache-2.0
"""speedscope files of the whole corpus against the schema of speedscope's own package."""
import os
import pathlib
import subprocess
import sys

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent))
from clients import WORK, install  # noqa: E402
from support import Agent, main  # noqa: E402
from test_upload import CORPUS, expected, types_of, upload  # noqa: E402

CHECK = """
const fs = require('fs');
const Ajv = require('ajv');
const schema = JSON.parse(fs.readFileSync(require.resolve('speedscope/dist/release/file-format-schema.json')));
const ajv = new Ajv({ schemaId: 'auto', allowUnionTypes: true, strict: false });
const valid = ajv.compile({ ...schema, $schema: undefined });
let wrong = 0;
for (const name of process.argv.slice(2)) {
	if (valid(JSON.parse(fs.readFileSync(name)))) continue;
	wrong++;
	console.log(name, JSON.stringify(valid.errors.slice(0, 3)));
}
console.log(process.argv.length - 2, 'files,', wrong, 'not by the schema');
process.exit(wrong ? 1 : 0);
"""


def speedscope_s_own_schema():
    folder = WORK / "speedscope"
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "package.json").write_text('{"private":true}')
    if not (folder / "node_modules/ajv").exists() and not install("npm", "install", "--no-audit", "--no-fund", "speedscope", "ajv@8", cwd=folder):
        return "speedscope's package cannot be had"
    schemas = list((folder / "node_modules/speedscope").rglob("*schema*.json"))
    if not schemas:
        return f"the package has no schema: {sorted(p.name for p in (folder / 'node_modules/speedscope').iterdir())}"
    (folder / "check.js").write_text(CHECK.replace("require.resolve('speedscope/dist/release/file-format-schema.json')", repr(str(schemas[0]))))
    if not os.path.isdir(f"{CORPUS}/pprof"):
        return "the corpus is not here"
    files = []
    with Agent() as agent:
        for name, totals in expected():
            if not totals:
                continue
            with open(f"{CORPUS}/pprof/{name}", "rb") as file:
                assert upload(agent, file.read(), service=name)[0] == 200
            for i, kind in enumerate(types_of(agent, name).values()):
                status, out, _ = agent.request("GET", "/api/v1/flamegraph", type=kind, format="speedscope", max_nodes=0,
                                               query='{service="%s"}' % name, **{"from": "now-24h", "until": "now+1h"})
                assert status == 200, out
                files.append(folder / f"{name}.{i}.json")
                files[-1].write_bytes(out)
    done = subprocess.run(["node", "check.js", *files], cwd=folder, capture_output=True, text=True)
    print("# " + (done.stdout + done.stderr).strip().replace("\n", "\n# "))
    assert done.returncode == 0 and files
    return None


main(speedscope_s_own_schema)
