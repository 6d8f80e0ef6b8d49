/**
 * A parent of a speaker, in a network namespace of a test: hands on what both say. Its arguments are
 * how many milliseconds it waits for one that stands still, and, for one that can be adopted, the
 * file by which it is found.
 */
import { Poller } from '../../native/ffi/poller.js';
import type {
  FromSpeaker,
  GroupText,
  PathsText,
} from '../../appliance/ha/vrrp/speaker/messages.js';
import { SpeakerProcess } from '../../appliance/ha/vrrp/speaker/speaker-process.js';

export type ToParent =
  | {
      readonly kind: 'configure';
      readonly groups: readonly GroupText[];
      readonly paths: PathsText | null;
    }
  | { readonly kind: 'track'; readonly name: string; readonly well: boolean }
  | { readonly kind: 'status' | 'stop' };

export type FromParent =
  | FromSpeaker
  | { readonly kind: 'started'; readonly pid: number }
  | { readonly kind: 'output'; readonly line: string }
  | { readonly kind: 'exit'; readonly how: string; readonly left: number };

const tell = (message: FromParent, then: () => void = () => undefined): void => {
  process.send?.(message, then);
};

const poller = new Poller();
poller.ref();
const [patience, stateFile] = process.argv.slice(2);
const options = {
  poller,
  patience: Number(patience),
  onMessage: (message: FromSpeaker) => tell(message),
  onOutput: (line: string) => tell({ kind: 'output', line }),
  onExit: (how: string, left: number) => {
    tell({ kind: 'exit', how, left }, () => process.exit(0));
  },
};
const speaker =
  stateFile === undefined
    ? new SpeakerProcess(options)
    : ((await SpeakerProcess.adopt({ ...options, stateFile })) ??
      new SpeakerProcess({ ...options, stateFile }));
tell({ kind: 'started', pid: speaker.pid });
process.on('message', (message: ToParent) => {
  switch (message.kind) {
    case 'configure':
      speaker.configure(message.groups, message.paths);
      break;
    case 'track':
      speaker.track(message.name, message.well);
      break;
    case 'status':
      speaker.askStatus();
      break;
    case 'stop':
      speaker.stop();
  }
});
process.on('disconnect', () => {
  speaker.kill();
});
