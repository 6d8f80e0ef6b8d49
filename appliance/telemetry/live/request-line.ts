/**
 * Reads what a worker tells of a request: how many it stands for, and a line of the access log in JSON
 * (appliance/l7/telemetry/access-line.ts). Pure.
 */
import { z } from 'zod';
import type { LiveRequest } from '../../api/live-contract.js';

const text = z.string().nullable();
const count = z.number().nullable();
const line = z.object({
  ...{ time: z.string(), service: text, route: text, client: text, method: text, target: text },
  ...{ host: text, status: count, bytesIn: count, bytesOut: count, totalUs: count },
  ...{ member: text, userAgent: text, ended: z.string() },
});

export interface Told {
  readonly weight: number;
  readonly request: LiveRequest;
}

/** Null for what is no such line. */
export function requestOf(told: string): Told | null {
  const space = told.indexOf(' ');
  const weight = Number(told.slice(0, space));
  if (space < 1 || !Number.isSafeInteger(weight) || weight < 1) return null;
  let json: unknown;
  try {
    json = JSON.parse(told.slice(space + 1));
  } catch {
    return null;
  }
  const read = line.safeParse(json);
  if (!read.success) return null;
  const { time, status, bytesIn, bytesOut, totalUs, ...rest } = read.data;
  return {
    weight,
    request: {
      ...rest,
      time: Date.parse(time),
      status: status ?? 0,
      bytesIn: bytesIn ?? 0,
      bytesOut: bytesOut ?? 0,
      totalMs: totalUs === null ? null : totalUs / 1000,
    },
  };
}
