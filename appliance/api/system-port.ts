/** What the API asks of the daemon about the unit as a machine. Errors: as `DaemonPort`. */
import type {
  BackupScope,
  BackupView,
  PowerAction,
  RestoreResult,
  SystemView,
} from './system-contract.js';

export interface BackupFile {
  readonly bytes: Buffer;
  readonly passphrase: string;
  /** Of a whole backup only the document. */
  readonly configurationOnly: boolean;
}

export interface SystemPort {
  view(): Promise<SystemView>;
  /** Errors: invalid (the passphrase), unavailable (something cannot be read). */
  backup(request: {
    readonly scope: BackupScope;
    readonly passphrase: string;
    readonly author: string;
  }): Promise<Buffer>;
  /** Changes nothing. Errors: invalid. */
  inspect(file: BackupFile): Promise<BackupView>;
  /** All of it or nothing. Errors: invalid, and as `apply`. */
  restore(
    request: BackupFile & { readonly author: string; readonly comment: string },
  ): Promise<RestoreResult>;
  /** tar, compressed by gzip. */
  supportBundle(request: {
    readonly maskAddresses: boolean;
    readonly author: string;
  }): Promise<Buffer>;
  /** The daemon ends, erases and begins anew after it has answered. Errors: conflict (another name). */
  factoryReset(request: {
    readonly name: string;
    readonly keepLogs: boolean;
    readonly author: string;
  }): Promise<void>;
  /** Errors: conflict (it may not), unavailable. */
  power(request: { readonly action: PowerAction; readonly author: string }): Promise<void>;
}
