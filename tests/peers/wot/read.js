// Reads properties of a Thing as node-wot understands its description:  node read.js TD.json NAME...
// Prints one JSON object of values.
import { readFileSync } from "node:fs";
import core from "@node-wot/core";
import modbus from "@node-wot/binding-modbus";

const [path, ...names] = process.argv.slice(2);
const servient = new core.Servient();
servient.addClientFactory(new modbus.ModbusClientFactory());
const wot = await servient.start();
const thing = await wot.consume(JSON.parse(readFileSync(path, "utf8")));
const values = {};
for (const name of names) {
    // Where there are several forms, the one on Modbus.
    const forms = thing.getThingDescription().properties[name].forms;
    const formIndex = forms.findIndex((form) => form.href.startsWith("modbus+tcp:"));
    values[name] = await (await thing.readProperty(name, { formIndex })).value();
}
console.log(JSON.stringify(values));
await servient.shutdown();
process.exit(0);
