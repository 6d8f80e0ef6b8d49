/**
 * The process that store-kill.test.ts kills: it commits as fast as it can and says so.
 *
 * Usage: store-child STORE. One line on standard output for each acknowledged step:
 * `commit NUMBER DIGEST` or `confirm NUMBER`, by a blocking write after the step
 * returned, so that a line that was read is a promise that was made. Every third revision
 * waits for a confirmation and is confirmed before the next is committed.
 */
import { writeSync } from 'node:fs';
import { argv } from 'node:process';
import { ConfigStore } from '../../appliance/config/store.js';
import type { Document } from '../../appliance/config/schema.js';

/** What revision `number` holds, so that the parent can tell a whole document from a mixture. */
export function documentOf(number: number): Document {
  return {
    version: 1,
    unit: { name: `unit-${number}` },
    pools: Object.fromEntries(
      // Several pages of SQLite's, so that a commit is more than one write.
      Array.from({ length: 40 }, (_, pool) => [
        `pool-${pool}`,
        {
          members: [{ address: `10.0.${pool}.${(number % 250) + 1}`, port: (number % 60_000) + 1 }],
        },
      ]),
    ),
  };
}

/** Whether revision `number` was committed with a deadline. */
export function waits(number: number): boolean {
  return number > 1 && number % 3 === 0;
}

function main(path: string): void {
  const store = ConfigStore.open(path);
  for (;;) {
    const head = store.head();
    const pending = store.pendingConfirm();
    const number = (head?.number ?? 0) + 1;
    if (pending !== null && !waits(number)) {
      store.confirm(pending.revision);
      writeSync(1, `confirm ${pending.revision}\n`);
    }
    const revision = store.commit({
      document: documentOf(number),
      author: 'child',
      comment: `revision ${number}`,
      parent: number - 1,
      ...(waits(number) ? { confirmBy: 4_102_444_800_000 } : {}),
    });
    writeSync(1, `commit ${revision.number} ${revision.digest}\n`);
  }
}

if (argv[2] !== undefined && argv[1]?.endsWith('store-child.js') === true) main(argv[2]);
