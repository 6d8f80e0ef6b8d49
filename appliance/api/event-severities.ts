/**
 * How grave events can be, by kind: the one place that says so. An event that begins or ends
 * something has the severity of which of the two it is.
 *
 * Invariant: every kind is here, and no event is made with a severity that its kind does not list.
 */
import type { EventKind, Severity } from './contract.js';

export const EVENT_SEVERITIES = {
  'flow-new': ['info'],
  'flow-moved': ['info'],
  drop: ['warning'],
  'member-state': ['info', 'warning'],
  'member-flapping': ['info', 'warning'],
  'pool-state': ['info', 'warning', 'error'],
  weights: ['info', 'warning'],
  'next-hop': ['info', 'warning'],
  revision: ['info'],
  'confirm-pending': ['warning'],
  confirmed: ['info'],
  'rolled-back': ['info', 'warning', 'error'],
  tier: ['info', 'warning', 'error'],
  link: ['info', 'warning'],
  repair: ['warning'],
  worker: ['info', 'warning', 'error'],
  daemon: ['info', 'error'],
  access: ['info', 'error'],
  'syn-cookies': ['info', 'warning'],
  limit: ['info', 'warning'],
  certificate: ['info', 'warning', 'error'],
  'certificate-expiring': ['warning'],
  'certificate-expired': ['error'],
  pair: ['info', 'warning', 'error'],
  'peer-lost': ['error'],
  'peer-back': ['info'],
  'role-changed': ['info', 'warning', 'error'],
  replication: ['info', 'warning', 'error'],
  'disk-space': ['info', 'warning', 'error'],
  clock: ['info', 'warning'],
  login: ['info', 'warning'],
  user: ['info'],
  upgrade: ['info', 'warning', 'error'],
} as const satisfies Readonly<Record<EventKind, readonly Severity[]>>;

export type SeverityOf<K extends EventKind> = (typeof EVENT_SEVERITIES)[K][number];
