/**
 * Whether the box does its work: the question behind the hardware watchdog. Resetting a box is the
 * last resort, so only what a reset can mend counts: a daemon that does not answer, or a fast path
 * that is not in the kernel although services need it. Dead members, a bad configuration and a
 * missing cable are no reasons.
 */
export interface Well {
  readonly well: boolean;
  /** A sentence, for the log. */
  readonly why: string;
}

/** How long an answer may take, in ms. A daemon that applies a large change is busy for a second or two. */
export const ANSWER_MS = 8000;

/** A question to the daemon; throws when it does not answer in time. */
export interface Asked {
  readonly status: () => Promise<{ readonly revision: number | null; readonly services: number }>;
  /** How many interfaces the fast path is attached to. */
  readonly attached: () => Promise<number>;
}

export async function lookAt(asked: Asked): Promise<Well> {
  try {
    const { revision, services } = await asked.status();
    if (revision === null || services === 0) return { well: true, why: 'no services yet' };
    const attached = await asked.attached();
    return attached > 0
      ? { well: true, why: `${services} services, fast path on ${attached} interfaces` }
      : { well: false, why: 'there are services, and the fast path is on no interface' };
  } catch (error) {
    const why = error instanceof Error ? error.message : String(error);
    return { well: false, why: `the daemon does not answer: ${why}` };
  }
}
