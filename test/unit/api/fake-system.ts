/** The unit as a machine, for tests of who asks. */
import type { BackupView, RestoreResult, SystemView } from '../../../appliance/api/contract.js';
import { PortError } from '../../../appliance/api/port.js';
import type { SystemPort } from '../../../appliance/api/system-port.js';

export const BACKUP: BackupView = {
  ...{ unit: 'weir-a', version: '0.1.0', time: Date.UTC(2026, 0, 1), author: 'alice' },
  ...{ scope: 'unit', revision: 7 },
  parts: [
    { name: 'document', title: 'configuration', entries: ['revision 7'] },
    { name: 'history', title: 'history', entries: ['7 revisions'] },
    {
      name: 'certificates',
      title: 'certificates and requests, with their keys',
      entries: ['certificate/live/shop.example'],
    },
  ],
  restore: {
    changes: [{ kind: 'added', path: 'pools.web', after: {} }],
    notes: ['adds the certificate shop.example'],
    refusal: null,
  },
};

export const COPY = '/var/lib/weir/backups/before-restore-2026-01-01T00-00-00-000Z.weirbackup';
export const PASSPHRASE = 'correct horse';

export class FakeSystem implements SystemPort {
  readonly asked: { readonly method: keyof SystemPort; readonly argument: unknown }[] = [];
  current: SystemView = { unit: 'weir-a', power: true, copies: '/var/lib/weir/backups' };
  inspected: BackupView = BACKUP;

  async view(): Promise<SystemView> {
    return this.current;
  }

  async backup(argument: Parameters<SystemPort['backup']>[0]): Promise<Buffer> {
    this.asked.push({ method: 'backup', argument });
    return Buffer.from(`a backup of ${argument.scope}`);
  }

  async inspect(argument: Parameters<SystemPort['inspect']>[0]): Promise<BackupView> {
    this.asked.push({ method: 'inspect', argument });
    this.#check(argument.passphrase);
    return this.inspected;
  }

  async restore(argument: Parameters<SystemPort['restore']>[0]): Promise<RestoreResult> {
    this.asked.push({ method: 'restore', argument });
    this.#check(argument.passphrase);
    const { changes, notes } = this.inspected.restore;
    return { revision: 8, changes, notes, warnings: [], copy: COPY };
  }

  async supportBundle(argument: unknown): Promise<Buffer> {
    this.asked.push({ method: 'supportBundle', argument });
    return Buffer.from('a bundle');
  }

  async factoryReset(argument: Parameters<SystemPort['factoryReset']>[0]): Promise<void> {
    this.asked.push({ method: 'factoryReset', argument });
    if (argument.name !== this.current.unit) {
      throw new PortError('conflict', `This unit is ${this.current.unit}, not ${argument.name}.`);
    }
  }

  async power(argument: unknown): Promise<void> {
    this.asked.push({ method: 'power', argument });
  }

  #check(passphrase: string): void {
    if (passphrase === PASSPHRASE) return;
    throw new PortError('invalid', 'The passphrase is not the one that this backup was made with.');
  }
}
