// SPDX-License-Identifier: Apache-2.0
// What the scripts of real clients share: named steps whose results go to stdout as one JSON object.
import assert from "node:assert/strict";
import fs from "node:fs";

export const config = JSON.parse(process.argv[2]);
const NOT_YET = "not built yet";
const LATER = config.later || []; // steps that may meet 501 or UNIMPLEMENTED
const unbuilt = (error, name) => (error.status === 501 || error.code === 12) && LATER.includes(name);
export const notOffered = (why) => "not offered: " + why;
const PATIENCE_MS = 180000; // a limit against hanging, not a claim

// Each step runs even if one before it failed; a step that returns nothing went well.
export async function run(steps) {
  const results = {};
  for (const [name, step] of Object.entries(steps)) {
    try {
      results[name] = (await step()) ?? "ok";
    } catch (error) {
      results[name] = unbuilt(error, name) ? notOffered(NOT_YET) : "failed: " + (error.stack || error);
    }
  }
  process.stdout.write(JSON.stringify(results));
}

export async function until(what, check) {
  const end = Date.now() + PATIENCE_MS;
  for (;;) {
    const value = await check();
    if (value) return value;
    assert(Date.now() < end, "waited too long for " + what);
    await new Promise((done) => setTimeout(done, 50));
  }
}

// What the stack's own receiver has written down about callbacks with this text in them.
export function callbacks(text) {
  if (!fs.existsSync(config.callbackLog)) return [];
  const lines = fs.readFileSync(config.callbackLog, "utf8").split("\n").filter(Boolean);
  return lines.map((line) => JSON.parse(line)).filter((one) => one.body.includes(text));
}

export const isMp4 = (bytes) => Buffer.from(bytes).subarray(4, 8).toString() === "ftyp";
