/** The lab's own ground: paths are what they are said to be, and nothing stays behind. */
import { existsSync, readdirSync } from 'node:fs';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { needs } from '../support/needs.js';
import { run, within } from './commands.js';
import { Members } from './servers.js';
import { labPaths, removeStaleLabs, Topology, type HostName } from './topology.js';

const test = suite('topology');
const direct = ['10.77.0.81', 'fd77::81'];

function namespaces(pid: number): string[] {
  if (!existsSync('/run/netns')) return [];
  return readdirSync('/run/netns').filter((name) => name.startsWith(`weir-lab-${pid}-`));
}

needs.lab(test)('clients reach members through the unit, in both families', async () => {
  const topology = await Topology.create({ directAddresses: direct });
  try {
    await Members.start(topology, direct);
    for (const address of ['10.77.0.11', '[fd77::12]']) {
      const args = within(topology.namespace('client'), [
        ...['curl', '--silent', '--show-error', '--max-time', '5', `http://${address}:8080/`],
      ]);
      const body = await run(args[0] ?? '', args.slice(1));
      assert.is(body, `member-${address.includes('fd77') ? 2 : 1}\n`);
    }
  } finally {
    topology.destroy();
  }
  assert.equal(namespaces(process.pid), []);
});

needs.lab(test)('replies leave by the leg that their forwarding is meant to use', async () => {
  const topology = await Topology.create({ directAddresses: direct });
  const device = async (host: HostName, from: string, to: string): Promise<string> => {
    const family = to.includes(':') ? '-6' : '-4';
    const args = [family, '-n', topology.namespace(host), 'route', 'get', to, 'from', from];
    return / dev (\S+)/.exec(await run('ip', args))?.[1] ?? 'none';
  };
  try {
    assert.is(await device('member-1', '10.77.0.11', '10.78.0.2'), 'eth0', 'nat by the unit');
    assert.is(await device('member-1', 'fd77::11', 'fd78::2'), 'eth0', 'nat by the unit');
    assert.is(await device('member-1', '10.77.0.81', '10.78.0.2'), 'eth1', 'dsr past the unit');
    assert.is(await device('member-1', 'fd77::81', 'fd78::2'), 'eth1', 'dsr past the unit');
  } finally {
    topology.destroy();
  }
});

needs.lab(test)('the next lab removes what a killed one left', async () => {
  const program = new URL('./topology.js', import.meta.url).href;
  const child = spawn(
    process.execPath,
    [
      ...['--input-type=module', '--eval'],
      `const { Topology } = await import(${JSON.stringify(program)});
       await Topology.create({ directAddresses: [] });
       console.log('up');
       setInterval(() => {}, 1000);`,
    ],
    { stdio: ['ignore', 'pipe', 'inherit'] },
  );
  const ended = once(child, 'close');
  const pid = child.pid ?? 0;
  try {
    await once(child.stdout, 'data');
    assert.ok(namespaces(pid).length > 0, 'expected namespaces of the child, seen none');
  } finally {
    child.kill('SIGKILL');
    await ended;
  }
  assert.ok(namespaces(pid).length > 0, 'expected a killed lab to leave namespaces, seen none');
  assert.ok(removeStaleLabs().includes(pid), `expected the lab of ${pid} to be found`);
  assert.equal(namespaces(pid), []);
  assert.not.ok(existsSync(labPaths(pid).files));
});

test.run();
