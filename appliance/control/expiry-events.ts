/** Events about certificates that end, once for each certificate and step, also across restarts. */
import type { Intent } from '../config/schema.js';
import type { EventLog } from '../telemetry/event-log.js';
import type { CertificateStore } from '../tls/certificate-store.js';
import { expiryStage, untilEnd } from '../tls/expiry.js';
import { usersOf } from './certificate-checks.js';

export function tellExpiries(
  { store, events }: { readonly store: CertificateStore; readonly events: EventLog },
  intent: Intent | null,
  now: number,
): void {
  for (const info of store.list()) {
    if (info.kind === 'request' || info.serial === '') continue;
    const stage = expiryStage(info, now);
    if (stage === null) continue;
    const told = store.told(info.fingerprint);
    if (told !== null && told <= stage) continue;
    store.tell(info.fingerprint, stage);
    const users = usersOf(intent, info.name);
    const whose = users.length === 0 ? '' : `, which serves ${users.join(', ')},`;
    const what = `${info.kind === 'authority' ? 'authority' : 'certificate'} ${info.name}${whose}`;
    events.append({
      ...(stage === 0
        ? ({ kind: 'certificate-expired', severity: 'error' } as const)
        : ({ kind: 'certificate-expiring', severity: 'warning' } as const)),
      message:
        stage === 0
          ? `${what} expired on ${new Date(info.notAfter).toISOString()}`
          : `${what} expires ${untilEnd(info.notAfter, now)}`,
      subject: { certificate: info.name },
    });
  }
}
