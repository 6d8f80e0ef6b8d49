/** What a change does to connections that are established, in sentences. */
import type { Intent } from '../config/schema.js';
import { hashesOf } from '../l4/tracking.js';
import type { L4Tables } from './tables.js';

/** Services whose established connections cannot survive the change, in sentences. */
export function forwardingChanges(before: Intent | null, now: Intent): string[] {
  return Object.entries(now.services).flatMap(([name, service]) => {
    const earlier = before?.services[name];
    if (earlier === undefined) return [];
    const [was, is] = [earlier, service].map((one) => one.forwarding ?? 'the proxy');
    if (was === undefined || is === undefined || was === is) return [];
    const why =
      earlier.forwarding === undefined || service.forwarding === undefined
        ? 'the other end of them is another one'
        : 'their members see other addresses';
    return [
      `service ${name} goes from ${was} to ${is}: its established connections end, because ${why}`,
    ];
  });
}

/**
 * Services whose established flows may move with the change, in sentences: flows that went where
 * a hash said are on no list when something else is to say it. Those that have entries stay
 * (native/bpf/flow.h).
 */
export function hashChanges(before: L4Tables | undefined, now: L4Tables): string[] {
  if (before === undefined) return [];
  const were = hashesOf(before);
  return [...hashesOf(now)].flatMap(([name, hash]) => {
    const was = were.get(name) ?? null;
    if (was === null || was === hash) return [];
    // A change of forwarding says enough by itself.
    if (before.services.get(name)?.forwarding !== now.services.get(name)?.forwarding) return [];
    return [
      `service ${name} no longer goes by the hash that its established flows went by: they may move to other members, ` +
        'which reset TCP connections that they do not know',
    ];
  });
}
