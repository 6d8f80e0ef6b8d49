/**
 * The entry of a guard process: descriptor 3 is the lease, 4 the speaker's pidfd, 5 the eventfd that
 * calls it. It writes `ready` once it watches, and ends after its speaker.
 */
import { wishes } from './wishes.js';
import { Guard } from './guard.js';
import { Lease } from './lease.js';

const [LEASE, SPEAKER, CALLED] = [3, 4, 5];
/** Above the speaker's, which it is to find standing still. */
const PRIORITY = 45;

process.stdout.on('error', () => undefined);
process.stderr.on('error', () => undefined);
// It outlives its speaker, whatever ends that one.
for (const signal of ['SIGTERM', 'SIGINT', 'SIGHUP'] as const) process.on(signal, () => undefined);
wishes(PRIORITY);
const guard = new Guard(Lease.open(LEASE), SPEAKER, CALLED);
void guard.run(() => process.stdout.write('ready\n')).then(() => process.exit(0));
