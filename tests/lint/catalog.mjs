// SPDX-License-Identifier: Apache-2.0
// Holds catalogs against a schema with ajv, strictly. usage: node catalog.mjs NODE_MODULES SCHEMA FILE...
// One line for each file: "ok", or what is wrong first. Exits 1 when any is wrong.
import fs from "node:fs";
import path from "node:path";
import { createRequire } from "node:module";

const [modules, schema, ...files] = process.argv.slice(2);
const Ajv2020 = createRequire(path.resolve(modules, "x.js"))("ajv/dist/2020.js").default;
const validate = new Ajv2020({ strict: true, strictRequired: false, strictTypes: false, allErrors: false }).compile(JSON.parse(fs.readFileSync(schema, "utf8")));

function judge(file) {
  let value;
  try {
    value = JSON.parse(fs.readFileSync(file, "utf8"));
  } catch (error) {
    return String(error);
  }
  if (validate(value)) return "ok";
  const { instancePath, message, params } = validate.errors[0];
  return `${instancePath || "/"} ${message} ${JSON.stringify(params)}`;
}

const verdicts = files.map(judge);
for (const verdict of verdicts) console.log(verdict.replaceAll("\n", " "));
process.exitCode = verdicts.every((verdict) => verdict === "ok") ? 0 : 1;
