/** Reboots this host or turns it off, where its administrator lets the daemon do that. */
import { execFile } from 'node:child_process';
import { promisify } from 'node:util';

/** By which program. */
export type PowerProgram = 'systemctl';
export type PowerAction = 'reboot' | 'off';

const VERBS = { reboot: 'reboot', off: 'poweroff' } as const;
const PATIENCE_MS = 30_000;

/** Resolves when the host has taken it up. @throws Error: it refuses, or says nothing */
export async function changePower(program: PowerProgram, action: PowerAction): Promise<void> {
  await promisify(execFile)(program, [VERBS[action]], { timeout: PATIENCE_MS });
}
