// Runs a scenario in wasm: node .ci/wasm.mjs MODULE SCENARIO SEED. Prints the last line of the run.
import { readFileSync } from "node:fs";

const [module, scenario, seed] = process.argv.slice(2);
const { instance } = await WebAssembly.instantiate(readFileSync(module), {});
const { memory, reserve, run } = instance.exports;
const text = readFileSync(scenario);
const at = reserve(text.length);
new Uint8Array(memory.buffer, at, text.length).set(text);
const result = BigInt.asUintN(64, run(at, text.length, BigInt(seed)));
const line = new Uint8Array(memory.buffer, Number(result >> 32n), Number(result & 0xffffffffn));
console.log(new TextDecoder().decode(line));
