/** What a speaker asks of the machine, in a process of its own. */
import { spawnSync } from 'node:child_process';
import { join } from 'node:path';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { projectRoot } from '../../../appliance/paths.js';
import { needs } from '../../support/needs.js';

const test = suite('real time');
const module = join(projectRoot, 'build/native/ffi/realtime.js');

function node(flags: readonly string[], program: string): string {
  const words = [...flags, '--input-type=module', '-e', program];
  const { status, signal, stdout, stderr } = spawnSync(process.execPath, words, {
    encoding: 'utf8',
  });
  assert.is(status, 0, `ended by ${signal ?? 'itself'}: ${stderr}`);
  return stdout;
}

needs.root(test)('the program is locked in memory, and V8 can still give back its heap', () => {
  const locked = node(
    ['--expose-gc'],
    `import { readFileSync } from 'node:fs';
     import { keepProgramInMemory } from ${JSON.stringify(module)};
     keepProgramInMemory();
     let kept = Array.from({ length: 200_000 }, (_, i) => ({ i, text: String(i) }));
     kept = kept.filter(({ i }) => i % 7 === 0);
     for (let turn = 0; turn < 3; turn += 1) {
       gc({ type: 'major', execution: 'sync', flavor: 'last-resort' });
     }
     const [, locked] = /VmLck:\\s+(\\d+) kB/.exec(readFileSync('/proc/self/status', 'utf8'));
     console.log(locked);`,
  );
  assert.ok(Number(locked) > 1000, `${locked.trim()} kB are locked`);
});

test.run();
