/**
 * Where a daemon keeps its things. `weir daemon` fills this in and hands it to
 * `startDaemon` of appliance/main.ts; tests and the lab hand in their own places.
 *
 * Invariant: two daemons that share no path here do not disturb each other, other
 * than by the addresses and interfaces that they serve.
 */
import { DEFAULT_SOCKET } from './contract.js';

export interface DaemonOptions {
  /** The configuration store and its backups. Survives reboots. */
  readonly stateDir: string;
  /** Socket and the like. Gone after a reboot. */
  readonly runDir: string;
  /** Where programs, links and maps are pinned, in a BPF file system. */
  readonly bpfDir: string;
  /** Path of the API's socket. */
  readonly socket: string;
  /** Group that may use the socket. */
  readonly group: string;
  /** Whose peers at the socket are the console, and always log in once there are users; null: nobody's. */
  readonly consoleUser: string | null;
  readonly logLevel: LogLevel;
  /** What may reboot this host and turn it off; left out: nothing. */
  readonly power?: 'systemctl';
  /** Sets the cards of the fast path as their profiles advise; left out: nothing of them is changed. */
  readonly tune?: boolean;
  /** The network of this host is Weir's: `unit.network` is carried out. */
  readonly ownNetwork?: boolean;
  /** Root of this host's files, `/`, where they are Weir's to write: resolvers, time and the like. */
  readonly systemFiles?: string;
  /** Where the slots of this unit are (system/slots/slot-files.ts); left out: it has none. */
  readonly slots?: string;
  /** Public keys that updates are signed with, PEM; needed with slots. */
  readonly updateKeys?: string;
}

export const LOG_LEVELS = ['debug', 'info', 'warn', 'error', 'silent'] as const;
export type LogLevel = (typeof LOG_LEVELS)[number];

export const DEFAULT_DAEMON_OPTIONS: DaemonOptions = {
  stateDir: '/var/lib/weir',
  runDir: '/run/weir',
  bpfDir: '/sys/fs/bpf/weir',
  socket: DEFAULT_SOCKET,
  group: 'weir',
  consoleUser: null,
  logLevel: 'info',
};

/** A daemon that answers on its socket. */
export interface RunningDaemon {
  /** Stops the daemon; traffic keeps flowing on the pinned fast path. Resolves when all is closed. */
  close(): Promise<void>;
  /** Resolves when it is to be closed and started anew, since a factory reset was asked for. */
  readonly restarts: Promise<void>;
}

/** The shape of `startDaemon` in appliance/main.ts. Resolves once the socket answers. */
export type StartDaemon = (options: DaemonOptions) => Promise<RunningDaemon>;
