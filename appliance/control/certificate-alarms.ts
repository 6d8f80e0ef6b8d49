/**
 * What somebody should look at about certificates. Pure.
 *
 * Events of expiry tell of every certificate and authority in the store; alarms, which stay until
 * somebody acts, only of those that a service uses or the document declares.
 */
import type { Alarm } from '../api/contract.js';
import type { Intent } from '../config/schema.js';
import { capital } from '../config/words.js';
import type { CertificateInfo } from '../tls/certificate-store.js';
import { expiryStage, untilEnd } from '../tls/expiry.js';
import { alarm } from './alarms.js';

export interface CertificateAlarmInput {
  readonly intent: Intent | null;
  readonly certificates: readonly CertificateInfo[];
  /** Why no key can be used; null when the machine key is there. */
  readonly storeProblem: string | null;
  /** What the keeper could not obtain, by name. */
  readonly notObtained: ReadonlyMap<string, string>;
  readonly now: number;
}

export function certificateAlarms(input: CertificateAlarmInput): Alarm[] {
  const { intent, certificates, storeProblem, notObtained, now } = input;
  const found: Alarm[] = [];
  const add = (...of: Parameters<typeof alarm>): void => {
    found.push(alarm(...of));
  };
  if (storeProblem !== null) add('certificate-unusable', 'error', storeProblem);
  for (const [name, message] of notObtained) {
    add('certificate-unusable', 'error', `${capital(message)}.`, name);
  }
  const live = new Map(
    certificates.filter(({ kind }) => kind !== 'request').map((one) => [one.name, one]),
  );
  for (const name of namesUsed(intent)) {
    const one = live.get(name);
    if (one === undefined) {
      if (notObtained.has(name)) continue;
      add(
        'certificate-unusable',
        'error',
        `The certificate ${name} is not in the store: import it (weir cert import ${name} FILE).`,
        name,
      );
    } else if (one.problem !== null) {
      if (storeProblem === null) add('certificate-unusable', 'error', one.problem, name);
    } else {
      const stage = expiryStage(one, now);
      if (stage === 0) {
        const day = new Date(one.notAfter).toISOString().slice(0, 10);
        add('certificate-expired', 'error', `The certificate ${name} expired on ${day}.`, name);
      } else if (stage !== null) {
        const end = untilEnd(one.notAfter, now);
        add('certificate-expiring', 'warning', `The certificate ${name} expires ${end}.`, name);
      }
    }
  }
  return found;
}

function namesUsed(intent: Intent | null): Set<string> {
  if (intent === null) return new Set();
  const used = Object.values(intent.services).flatMap(({ certificates }) => certificates ?? []);
  return new Set([...Object.keys(intent.certificates), ...used]);
}
