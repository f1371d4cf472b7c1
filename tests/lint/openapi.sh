#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# The API document has what the bridge routes, and spectral and redocly find nothing in it. usage: openapi.sh ROOT NODE_MODULES
set -euo pipefail
cd "$1"
tests/lint/openapi_routes.py .
"$2/.bin/spectral" lint --quiet --ruleset tests/lint/.spectral.yaml --fail-severity hint bridge/api/openapi.json
REDOCLY_TELEMETRY=off REDOCLY_SUPPRESS_UPDATE_NOTICE=true "$2/node22/bin/node" "$2/@redocly/cli/bin/cli.js" \
  lint --config tests/lint/redocly.yaml bridge/api/openapi.json
