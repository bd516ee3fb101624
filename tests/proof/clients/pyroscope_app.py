# SPDX-License-Identifier: Apache-2.0
import runpy
import sys

import pyroscope

pyroscope.configure(application_name="py-pyroscope", server_address=sys.argv[1], tags={"region": "x"})
sys.argv = ["app.py", "12"]
runpy.run_path("app.py", run_name="__main__")
pyroscope.shutdown()
