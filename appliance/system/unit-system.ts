/** The unit as a machine, behind the API. */
import { PortError, type DaemonPort } from '../api/port.js';
import type { RestoreResult, SystemView } from '../api/system-contract.js';
import type { SystemPort } from '../api/system-port.js';
import type { EventLog } from '../telemetry/event-log.js';
import type { Backups } from './backup/backups.js';
import { changePower, type PowerProgram } from './power.js';
import { supportBundle, type BundleSources } from './support-bundle.js';

export interface UnitSystemOptions {
  readonly backups: Backups;
  readonly events: EventLog;
  readonly unit: () => string;
  readonly copies: string;
  /** Left out: this host does not let Weir do it. */
  readonly power?: PowerProgram;
  readonly bundle: BundleSources;
  readonly daemon: () => DaemonPort;
  readonly onError: (error: unknown) => void;
  /** Leaves a note of it; with the logs, or without. @throws when it cannot */
  readonly markReset: (keepLogs: boolean) => void;
  /** Has the daemon begin anew, once it has answered. */
  readonly beginAnew: () => void;
}

export class UnitSystem implements SystemPort {
  readonly #options: UnitSystemOptions;

  constructor(options: UnitSystemOptions) {
    this.#options = options;
  }

  async view(): Promise<SystemView> {
    const { unit, power, copies } = this.#options;
    return { unit: unit(), power: power !== undefined, copies };
  }

  async backup(request: Parameters<SystemPort['backup']>[0]): Promise<Buffer> {
    const bytes = await this.#options.backups.make(request);
    const keys = request.scope === 'unit' ? 'the whole unit, with all keys' : 'the configuration';
    this.#tell(`${request.author} made a backup of ${keys}`, request.author);
    return bytes;
  }

  inspect(file: Parameters<SystemPort['inspect']>[0]): ReturnType<SystemPort['inspect']> {
    return this.#options.backups.inspect(file);
  }

  async restore(request: Parameters<SystemPort['restore']>[0]): Promise<RestoreResult> {
    const result = await this.#options.backups.restore(request);
    this.#tell(`${request.author} restored a backup`, request.author);
    return result;
  }

  async supportBundle(request: Parameters<SystemPort['supportBundle']>[0]): Promise<Buffer> {
    const bytes = await supportBundle(this.#options.daemon(), this.#options.bundle, request);
    this.#tell(`${request.author} took a support bundle`, request.author);
    return bytes;
  }

  async factoryReset(request: Parameters<SystemPort['factoryReset']>[0]): Promise<void> {
    const { name, keepLogs, author } = request;
    const unit = this.#options.unit();
    if (name !== unit) {
      throw new PortError(
        'conflict',
        `This unit is ${unit}, not ${name}: nothing was erased. Give the name of the unit that is to be erased.`,
      );
    }
    try {
      this.#options.markReset(keepLogs);
    } catch (cause) {
      const why = cause instanceof Error ? cause.message : String(cause);
      throw new PortError('unavailable', `The reset cannot be written down: ${why}`, { cause });
    }
    this.#tell(`${author} resets this unit: everything is erased`, author);
    await this.#leavePair(author);
    this.#options.beginAnew();
  }

  /** So that the other unit hears of it; what hinders that does not hinder the reset. */
  async #leavePair(author: string): Promise<void> {
    const { pair } = this.#options.daemon();
    try {
      if ((await pair.view()).peer !== null) await pair.leave({ author });
    } catch (error) {
      this.#options.onError(error);
    }
  }

  async power(request: Parameters<SystemPort['power']>[0]): Promise<void> {
    const { action, author } = request;
    const { power } = this.#options;
    if (power === undefined) {
      throw new PortError(
        'conflict',
        'This host does not let Weir reboot it or turn it off: start the daemon with --power systemctl.',
      );
    }
    this.#tell(`${author} asked to ${action === 'off' ? 'turn off' : 'reboot'} the host`, author);
    try {
      await changePower(power, action);
    } catch (cause) {
      const why = cause instanceof Error ? cause.message : String(cause);
      throw new PortError('unavailable', `The host refuses: ${why}`, { cause });
    }
  }

  #tell(message: string, author: string): void {
    this.#options.events.append({ kind: 'daemon', severity: 'info', message, subject: { author } });
  }
}
