/** The report of the hardware as people read it. */
import { existsSync, readFileSync, writeFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { withApi } from '../api/fixture.js';
import { weir } from './weir.js';

const test = suite('cli: hardware');
const golden = fileURLToPath(
  new URL('../../../../test/unit/cli/golden/hardware.txt', import.meta.url),
);

test('the report is the one in golden/hardware.txt (WEIR_UPDATE_GOLDEN=1 writes it)', () =>
  withApi(async ({ socket }) => {
    const ran = await weir(['hardware'], { socket });
    assert.equal([ran.code, ran.err], [0, '']);
    if (process.env['WEIR_UPDATE_GOLDEN'] === '1') writeFileSync(golden, ran.out);
    assert.ok(existsSync(golden), `there is no ${golden}`);
    assert.fixture(ran.out, readFileSync(golden, 'utf8'));
  }));

test('a command stands alone on its line, to be copied', () =>
  withApi(async ({ socket }) => {
    const { out } = await weir(['hardware'], { socket });
    const commands = out.split('\n').filter((line) => /^ +ethtool /.test(line));
    assert.equal(
      commands.map((line) => line.trim()),
      ['ethtool -L eth0 combined 4', 'ethtool -K PEER tx off'],
    );
  }));

test('Tab completes the command', () =>
  withApi(async ({ socket }) => {
    const { out } = await weir(['__complete', '--', 'weir har'], { socket });
    assert.match(out, /^hardware\tthe machine and its network cards/);
  }));

test.run();
