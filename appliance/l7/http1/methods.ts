/** Methods of RFC 9110 §9 and RFC 5789 as numbers; names are compared with case. */
import { octets } from './octets.js';

export const method = {
  other: 0,
  get: 1,
  head: 2,
  post: 3,
  put: 4,
  delete: 5,
  connect: 6,
  options: 7,
  trace: 8,
  patch: 9,
} as const;

const texts = ['', 'GET', 'HEAD', 'POST', 'PUT', 'DELETE', 'CONNECT', 'OPTIONS', 'TRACE', 'PATCH'];
const names = texts.map((text) => octets(text));

/** The one method with this first octet and length that there can be. */
function candidate(first: number, length: number): number {
  switch (first) {
    case 0x47:
      return method.get;
    case 0x48:
      return method.head;
    case 0x50:
      return length === 3 ? method.put : length === 4 ? method.post : method.patch;
    case 0x44:
      return method.delete;
    case 0x43:
      return method.connect;
    case 0x4f:
      return method.options;
    case 0x54:
      return method.trace;
    default:
      return method.other;
  }
}

export function findMethod(bytes: Uint8Array, start: number, end: number): number {
  const found = candidate(bytes[start] ?? 0, end - start);
  const name = names[found];
  if (name === undefined || name.length !== end - start) return method.other;
  for (let i = 0; i < name.length; i += 1) if (bytes[start + i] !== name[i]) return method.other;
  return found;
}
