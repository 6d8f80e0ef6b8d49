/** Files that the System screen writes and reads, on the machine that the dashboard runs on. */
import type { BackupView, RestoreResult } from '../appliance/api/contract.js';
import type { Client } from '../appliance/cli/client.js';
import { readWholeFile, writeWholeFile } from '../appliance/cli/secret-file.js';
import type { FileEffect } from './model.js';
import { askRestore, restored } from './system-keys.js';
import type { Action } from './step.js';

/** What came of it. @throws CliError */
export async function carryOut(effect: FileEffect, client: Client): Promise<Action> {
  if (effect.type === 'save') {
    await writeWholeFile(effect.file, await client.octets(effect.call));
    return { type: 'done', text: effect.done };
  }
  const { file, passphrase, configurationOnly } = effect;
  const octets = await readWholeFile(file);
  const query = { 'configuration-only': configurationOnly ? 'true' : undefined };
  const call = { method: 'POST', query, octets, passphrase } as const;
  if (effect.type === 'inspect') {
    const view = await client.json<BackupView>({ ...call, path: '/v1/system/inspect' });
    return { type: 'asks', overlay: askRestore(view, effect) };
  }
  const result = await client.json<RestoreResult>({ ...call, path: '/v1/system/restore' });
  return { type: 'done', text: restored(result) };
}
