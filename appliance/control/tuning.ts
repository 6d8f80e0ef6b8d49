/** The tuner on this host: advice of its hardware, its programs, its events. */
import { execFile } from 'node:child_process';
import { promisify } from 'node:util';
import type { Datapath } from '../l4/datapath.js';
import { Tuner } from '../offload/tune.js';
import type { EventLog } from '../telemetry/event-log.js';
import { hardwareReport, type HardwareParts } from './hardware.js';

/** A card may be away for seconds while its queues are made anew. */
const PATIENCE_MS = 30_000;

export interface TuningParts extends HardwareParts {
  readonly datapath: Pick<Datapath, 'current'>;
  readonly events: Pick<EventLog, 'append'>;
}

export function tuner(parts: TuningParts): Tuner {
  return new Tuner({
    advise: () =>
      new Map(hardwareReport(parts).interfaces.map(({ name, checks }) => [name, checks])),
    attached: ({ name, index }) =>
      parts.datapath.current({ interfaceName: name, interfaceIndex: index }) !== null,
    run: async (program, words) => {
      try {
        await promisify(execFile)(program, words, { timeout: PATIENCE_MS });
      } catch (error) {
        const { stderr = '' } = error as { stderr?: string };
        throw stderr.trim() === '' ? error : new Error(stderr.trim(), { cause: error });
      }
    },
    onEvent: ({ severity, message, interface: name }) => {
      parts.events.append({ kind: 'tier', severity, message, subject: { interface: name } });
    },
  });
}
