/** Ends the speaker that a daemon left, which gives up what it holds. Only while no daemon runs. */
import type { Poller } from '../../native/ffi/poller.js';
import { SpeakerProcess } from '../ha/vrrp/speaker/speaker-process.js';

/** In the run directory: where the next daemon finds the speaker. */
export const VRRP_STATE = 'vrrp-state';

/** Whether there was one. Resolves when it is gone, with its addresses. Throws SystemError. */
export async function endSpeaker(stateFile: string, poller: Poller): Promise<boolean> {
  let gone = (): void => undefined;
  const ended = new Promise<void>((resolve) => (gone = resolve));
  poller.ref();
  try {
    const left = await SpeakerProcess.adopt({
      ...{ poller, stateFile },
      onMessage: () => undefined,
      onOutput: () => undefined,
      onExit: () => gone(),
    });
    if (left === null) return false;
    left.stop();
    await ended;
    return true;
  } finally {
    poller.unref();
  }
}
