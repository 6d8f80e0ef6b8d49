/** A box of a test: the real stores of a unit in a folder of its own, without a fast path. */
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { AccessEntries } from '../../../appliance/config/access-entries.js';
import { ConfigStore } from '../../../appliance/config/store.js';
import { certificateErrors } from '../../../appliance/control/certificate-checks.js';
import { Changes } from '../../../appliance/control/changes.js';
import { CookieSecret } from '../../../appliance/control/cookie-secret.js';
import { unitName } from '../../../appliance/control/pairing.js';
import { Reconciler } from '../../../appliance/control/reconciler.js';
import { Backups } from '../../../appliance/system/backup/backups.js';
import { unitParts } from '../../../appliance/system/backup/unit-parts.js';
import { EventLog } from '../../../appliance/telemetry/event-log.js';
import { CertificateStore } from '../../../appliance/tls/certificate-store.js';
import { UserStore } from '../../../appliance/users/user-store.js';
import { FakeFastPath, FakeMonitors, FakeNetwork } from '../control/stand-ins.js';

const fail = (error: unknown): never => {
  throw error;
};

export class Box {
  readonly folder = mkdtempSync(join(tmpdir(), 'weir-box-'));
  readonly store = ConfigStore.open(join(this.folder, 'weir.db'));
  readonly certificates = CertificateStore.open(this.folder, { onListenerError: fail });
  readonly access = AccessEntries.open(join(this.folder, 'access.db'));
  readonly users = UserStore.open(join(this.folder, 'users.db'));
  readonly cookies = CookieSecret.open(this.folder);
  readonly fastPath = new FakeFastPath();
  readonly reconciler = new Reconciler(
    {
      ...{ fastPath: this.fastPath, network: new FakeNetwork(), monitors: new FakeMonitors() },
      inspect: () => null,
    },
    { retryMs: 10, onRun: () => undefined, onFailure: () => undefined },
  );
  readonly changes = new Changes({
    ...{ store: this.store, reconciler: this.reconciler, fastPath: this.fastPath, onError: fail },
    events: new EventLog({ onListenerError: fail }),
    warnings: async () => [],
    certificates: {
      check: (intent) => certificateErrors(intent, this.certificates),
      follow: async () => undefined,
      order: () => undefined,
    },
  });
  paired = false;
  readonly backups = new Backups({
    parts: unitParts({
      ...{ certificates: this.certificates, cookies: this.cookies, access: this.access },
      users: this.users,
      paired: () => this.paired,
      onChange: () => undefined,
    }),
    store: this.store,
    apply: (request) => this.changes.apply(request),
    checkCertificates: (intent, also) =>
      certificateErrors(intent, { get: (name) => also.get(name) ?? this.certificates.get(name) }),
    unit: () => unitName(this.store.head()),
    paired: () => this.paired,
    version: '0.1.0',
    copies: join(this.folder, 'backups'),
    cost: 10,
  });

  apply(document: object): Promise<unknown> {
    return this.changes.apply({
      ...{ source: { text: JSON.stringify(document) }, dryRun: false },
      ...{ author: 'ada', comment: '' },
    });
  }

  /** All that a restore may change, comparable. */
  state(): unknown {
    return {
      head: this.store.head()?.number ?? null,
      history: this.store.history().map(({ number, digest }) => [number, digest]),
      certificates: this.certificates
        .versions()
        .filter(({ digest }) => digest !== '')
        .map(({ name, digest }) => [name, digest]),
      accounts: this.certificates.accountVersions().map(({ directory }) => directory),
      cookies: this.cookies.digest,
      access: this.access.list(),
      users: this.users.list('user'),
      tokens: this.users.list('token'),
    };
  }

  async close(): Promise<void> {
    await this.changes.close();
    await this.reconciler.close();
    this.store.close();
    this.certificates.close();
    this.access.close();
    this.users.close();
    rmSync(this.folder, { recursive: true, force: true });
  }
}
