/**
 * Users as the daemon has them, in files of their own that are gone with the process. Hashes cost little
 * here. Nothing is made before the first user, since most tests have none.
 */
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { AuditRow } from '../../appliance/api/user-contract.js';
import type { UsersPort } from '../../appliance/api/user-port.js';
import { Users, type UsersOptions } from '../../appliance/control/users.js';
import { EventLog } from '../../appliance/telemetry/event-log.js';
import { Passwords } from '../../appliance/users/password.js';
import { UserStore } from '../../appliance/users/user-store.js';

export const CHEAP = { ln: 4, r: 1, p: 1 } as const;
export const PASSWORD = 'correct horse battery';

export interface UserScene {
  readonly users: Users;
  readonly store: UserStore;
  readonly events: EventLog;
  readonly acts: AuditRow[];
  close(): void;
}

export function userScene(options: Partial<UsersOptions> = {}): UserScene {
  const folder = mkdtempSync(join(tmpdir(), 'weir-users-'));
  const fail = (error: unknown): never => {
    throw error;
  };
  const store = UserStore.open(join(folder, 'users.db'));
  const events = new EventLog({ onListenerError: fail });
  const acts: AuditRow[] = [];
  const users = new Users({
    ...{ store, events, audit: memoryAudit(acts), onError: fail, passwords: new Passwords(CHEAP) },
    ...options,
  });
  return {
    ...{ users, store, events, acts },
    close() {
      users.close();
      store.close();
      rmSync(folder, { recursive: true, force: true });
    },
  };
}

function memoryAudit(acts: AuditRow[]): UsersOptions['audit'] {
  return {
    append(act, time) {
      acts.push({ ...act, time, number: acts.length + 1 });
    },
    latest: ({ limit, before = Infinity }) =>
      acts
        .filter(({ number }) => number < before)
        .slice(-limit)
        .reverse(),
  };
}

const scenes: UserScene[] = [];

function closeAll(): void {
  for (const scene of scenes.splice(0)) scene.close();
}

export class SceneUsers implements UsersPort {
  readonly acts: AuditRow[] = [];
  #scene: UserScene | null = null;
  readonly #audit = memoryAudit(this.acts);

  /** Who is there, made at the first question that needs them. */
  get scene(): UserScene {
    if (this.#scene === null) {
      const scene = userScene({ audit: this.#audit });
      if (scenes.push(scene) === 1) process.once('exit', closeAll);
      this.#scene = scene;
    }
    return this.#scene;
  }

  get any(): boolean {
    return this.#scene?.users.any ?? false;
  }
  holder(...of: Parameters<UsersPort['holder']>) {
    return this.#scene?.users.holder(...of) ?? null;
  }
  login(request: Parameters<UsersPort['login']>[0]) {
    return this.scene.users.login(request);
  }
  logout(request: Parameters<UsersPort['logout']>[0]) {
    this.scene.users.logout(request);
  }
  list() {
    return this.scene.users.list();
  }
  add(request: Parameters<UsersPort['add']>[0]) {
    return this.scene.users.add(request);
  }
  set(request: Parameters<UsersPort['set']>[0]) {
    return this.scene.users.set(request);
  }
  changePassword(request: Parameters<UsersPort['changePassword']>[0]) {
    return this.scene.users.changePassword(request);
  }
  remove(request: Parameters<UsersPort['remove']>[0]) {
    this.scene.users.remove(request);
  }
  unlock(request: Parameters<UsersPort['unlock']>[0]) {
    return this.scene.users.unlock(request);
  }
  tokens() {
    return this.scene.users.tokens();
  }
  createToken(request: Parameters<UsersPort['createToken']>[0]) {
    return this.scene.users.createToken(request);
  }
  revokeToken(request: Parameters<UsersPort['revokeToken']>[0]) {
    this.scene.users.revokeToken(request);
  }
  audit(query: Parameters<UsersPort['audit']>[0]) {
    return this.#audit.latest(query);
  }
  record(act: Parameters<UsersPort['record']>[0]) {
    this.#audit.append(act, Date.now());
  }
}
