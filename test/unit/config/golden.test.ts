/**
 * Golden files: a configuration in, the exact result or the exact errors out.
 *
 * Each golden/NAME.yaml has a golden/NAME.expected. WEIR_UPDATE_GOLDEN=1 rewrites the
 * expected texts; read the difference before you keep it.
 */
import { readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { parseText } from '../../../appliance/config/document.js';
import { formatConfigError } from '../../../appliance/config/errors.js';
import { firstSliceCapabilities, unsupported } from '../../../appliance/config/support.js';
import { projectRoot } from '../../../appliance/paths.js';

const folder = join(projectRoot, 'test/unit/config/golden');
const update = process.env['WEIR_UPDATE_GOLDEN'] === '1';
const golden = suite('golden configurations');

function outcome(text: string): string {
  const result = parseText(text);
  if (!result.ok) return `${result.errors.map(formatConfigError).join('\n')}\n`;
  const shown = {
    intent: result.intent,
    warnings: result.warnings.map(formatConfigError),
    refused: unsupported(result.intent, firstSliceCapabilities).map(formatConfigError),
  };
  return `${JSON.stringify(shown, null, 2)}\n`;
}

const names = readdirSync(folder)
  .filter((file) => file.endsWith('.yaml'))
  .map((file) => file.slice(0, -'.yaml'.length))
  .sort();

for (const name of names) {
  golden(name, () => {
    const seen = outcome(readFileSync(join(folder, `${name}.yaml`), 'utf8'));
    const path = join(folder, `${name}.expected`);
    if (update) writeFileSync(path, seen);
    assert.fixture(
      seen,
      readFileSync(path, 'utf8'),
      `${name}.yaml does not give what ${name}.expected says`,
    );
  });
}

golden('there are many, of both kinds, and none is left over', () => {
  const expected = readdirSync(folder).filter((file) => file.endsWith('.expected'));
  assert.equal(
    expected.map((file) => file.slice(0, -'.expected'.length)).sort(),
    names,
    'each .yaml has its .expected and the other way round',
  );
  const good = expected.filter((file) =>
    readFileSync(join(folder, file), 'utf8').startsWith('{'),
  ).length;
  assert.ok(good >= 20, `at least 20 are accepted, seen ${good}`);
  assert.ok(names.length - good >= 40, `at least 40 are refused, seen ${names.length - good}`);
});

golden.run();
