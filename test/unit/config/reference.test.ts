/** The generated reference: complete, up to date, and the JSON Schema agrees with the parser. */
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { jsonSchema, markdownReference, staleFiles } from '../../../appliance/config/reference.js';

const reference = suite('reference');

reference('the files in the tree are what the schema gives', () => {
  assert.equal(staleFiles(), [], 'run: node build/appliance/config/reference.js --write');
});

reference('every key has a type, and a meaning that ends as a sentence', () => {
  const rows = markdownReference()
    .split('\n')
    .filter((row) => row.startsWith('| `'));
  assert.ok(rows.length > 150, `many keys, seen ${rows.length}`);
  for (const row of rows) {
    const [, key, type, , meaning] = row.split(/(?<!\\)\|/).map((part) => part.trim());
    assert.ok(type, `${key} has no type: ${row}`);
    assert.match(meaning ?? '', /\.$/, `${key} has no meaning: ${row}`);
  }
});

reference('no section is without an introduction', () => {
  for (const section of markdownReference().split('\n## ').slice(1)) {
    const [title, blank, text] = section.split('\n');
    assert.is(blank, '');
    assert.ok(text && !text.startsWith('|'), `${title} has no introduction`);
  }
});

reference('the JSON Schema describes an object and refuses unknown keys', () => {
  const schema = jsonSchema();
  assert.is(schema['type'], 'object');
  assert.is(schema['additionalProperties'], false);
  assert.match(JSON.stringify(schema), /"Share of new flows/);
});

reference.run();
