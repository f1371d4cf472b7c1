// SPDX-License-Identifier: Apache-2.0
// Holds JSON values against schemas of the API document with ajv. usage: node contract.mjs OPENAPI-JSON-FILE
// One question a line, {"at": JSON-pointer, "value": ...}; one answer a line, a list of complaints.
import fs from "node:fs";
import readline from "node:readline";
import Ajv2020 from "ajv/dist/2020.js";

const document = JSON.parse(fs.readFileSync(process.argv[2], "utf8"));
const REQUEST = /(Request|Form|Input|Reference)$/;

// What we answer has no key that is not described; the document itself leaves callers room for new ones.
function close(schema) {
  if (!schema || typeof schema !== "object") return;
  if (schema.type === "object" && schema.properties) schema.additionalProperties = false;
  for (const inner of Object.values(schema)) close(inner);
}
for (const [name, schema] of Object.entries(document.components.schemas)) if (!REQUEST.test(name)) close(schema);

const ajv = new Ajv2020.default({ strict: false, allErrors: true, validateFormats: false });
ajv.addSchema(document, "doc");
const compiled = new Map();

function check({ at, value }) {
  if (!compiled.has(at)) compiled.set(at, ajv.compile({ $ref: "doc#" + encodeURI(at) }));
  const validate = compiled.get(at);
  return validate(value) ? [] : validate.errors.map((one) => `${one.instancePath || "/"} ${one.message} ${JSON.stringify(one.params)}`);
}

for await (const line of readline.createInterface({ input: process.stdin })) {
  process.stdout.write(JSON.stringify(check(JSON.parse(line))) + "\n");
}
