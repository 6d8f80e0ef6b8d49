/**
 * Everything that could keep a speaker from its time, at once: CPUs that are never idle, processes
 * that come and go, memory that is taken and given back, writes to the disk, and the kernel's lock
 * for network settings (rtnl) held by others, in a namespace of their own.
 *
 * Invariant: what is started here ends with end(), by id, and with this process.
 */
import { spawn, spawnSync, type ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, rmSync } from 'node:fs';
import { availableParallelism, tmpdir } from 'node:os';
import { join } from 'node:path';

const busy = 'for (;;) ;';
const memory = `
const blocks = [];
for (;;) {
  for (let i = 0; i < 64; i += 1) blocks.push(Buffer.alloc(4 << 20, i));
  blocks.length = 0;
}`;
const processes = 'while :; do /bin/true; done';
const disk = 'while :; do dd if=/dev/zero of="$1" bs=1M count=64 conv=fsync 2>/dev/null; done';
const links = `
while :; do
  for i in 1 2 3 4 5 6 7 8; do
    printf 'link add d%s type veth peer name e%s\\n' "$i" "$i"
    printf 'address add 10.%s.0.1/24 dev d%s\\nlink set d%s up\\n' "$i" "$i" "$i"
  done | ip -n "$1" -batch -
  ip -n "$1" -br link >/dev/null
  for i in 1 2 3 4 5 6 7 8; do printf 'link del d%s\\n' "$i"; done | ip -n "$1" -batch -
done`;

export class VrrpLoad {
  readonly #namespace = `weirtest-${process.pid}-load`;
  readonly #folder = mkdtempSync(join(tmpdir(), 'weir-load-'));
  readonly #children: ChildProcess[] = [];
  readonly #atExit = (): void => this.#drop();

  /** Throws where there is no namespace to be had. */
  constructor() {
    process.on('exit', this.#atExit);
    const { status, stderr } = spawnSync('ip', ['netns', 'add', this.#namespace]);
    if (status !== 0) throw new Error(`ip netns add: ${stderr.toString()}`);
    for (let cpu = 0; cpu < availableParallelism(); cpu += 1) this.#node(busy);
    this.#node(memory);
    this.#shell(processes);
    this.#shell(disk, join(this.#folder, 'written'));
    this.#shell(links, this.#namespace);
  }

  #node(script: string): void {
    this.#start(process.execPath, ['-e', script]);
  }

  #shell(script: string, ...words: readonly string[]): void {
    this.#start('sh', ['-c', script, 'sh', ...words]);
  }

  #start(file: string, words: readonly string[]): void {
    this.#children.push(spawn(file, words, { stdio: 'ignore', detached: true }));
  }

  async end(): Promise<void> {
    const gone = this.#children
      .filter(({ exitCode, signalCode }) => exitCode === null && signalCode === null)
      .map((child) => once(child, 'exit'));
    this.#drop();
    await Promise.all(gone);
  }

  /** A shell and what it has started just now are one group. */
  #drop(): void {
    process.off('exit', this.#atExit);
    for (const { pid } of this.#children) {
      try {
        if (pid !== undefined) process.kill(-pid, 'SIGKILL');
      } catch (error) {
        if ((error as NodeJS.ErrnoException).code !== 'ESRCH') throw error;
      }
    }
    spawnSync('ip', ['netns', 'delete', this.#namespace]);
    rmSync(this.#folder, { recursive: true, force: true });
  }
}
