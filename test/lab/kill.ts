/**
 * `npm run kill NAME`: kill -9 of all processes of a member or unit of the lab that runs on a terminal.
 *
 * Invariant: only processes in namespaces that a lab made are ended.
 */
import { spawnSync } from 'node:child_process';
import { readdirSync } from 'node:fs';

const names = readdirSync('/run/netns').flatMap((namespace) => {
  const name = /^weir-lab-\d+-((?:member|unit)-.*)$/.exec(namespace)?.[1];
  return name === undefined ? [] : [{ name, namespace }];
});
const wanted = process.argv[2];
const found = names.find(({ name }) => name === wanted);
if (found === undefined) {
  const there = names.map(({ name }) => name).join(', ');
  console.error(
    there === '' ? 'No lab runs: npm start begins one.' : `Name one of these: ${there}`,
  );
  process.exitCode = 2;
} else {
  const { stdout } = spawnSync('ip', ['netns', 'pids', found.namespace], { encoding: 'utf8' });
  const pids = stdout.split('\n').filter(Boolean).map(Number);
  for (const pid of pids) process.kill(pid, 'SIGKILL');
  console.log(`${found.name}: ${pids.length} processes are killed`);
}
