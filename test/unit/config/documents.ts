/** Generators of configurations for property tests. Most of what they make is valid. */
import * as fc from 'fast-check';
import type { Document } from '../../../appliance/config/schema.js';

const name = fc.oneof(
  fc.constantFrom(
    'web',
    'on',
    'yes',
    'null',
    '1e3',
    '0x10',
    'true',
    'shop.example',
    '007',
    'A_b-c',
  ),
  fc.stringMatching(/^[a-z0-9]([a-z0-9._-]{0,10}[a-z0-9])?$/),
);

/** One line of text without control characters; the empty one and YAML's own characters included. */
const text = fc.oneof(
  fc.constantFrom(
    '',
    ' ',
    '# no comment',
    'a: b',
    '- x',
    '"',
    "'",
    '\\',
    '{',
    '*a',
    '&a',
    '!t',
    '%',
    '@',
    '|',
    '>',
    '~',
    'null',
    '1.0',
    '0o17',
    'é 漢 😀',
  ),
  fc
    .string({ unit: 'grapheme', maxLength: 40 })
    .filter((one) => !/[\p{Cc}\p{Zl}\p{Zp}\p{Cs}]/u.test(one) && one.length <= 200),
);

const payload = fc.oneof(
  fc.constantFrom('PING\r\n', '\0', '\t\n', ' leading', 'trailing ', '\u2028', '\u0085', '\u007f'),
  fc.string({ minLength: 1, maxLength: 30 }),
);

const interval = fc.constantFrom('1s', '2s', '1m30s', '1000ms', '1h');

const monitor = fc.oneof(
  fc.record(
    { type: fc.constant('tcp' as const), interval, send: payload },
    { requiredKeys: ['type'] },
  ),
  fc.record(
    {
      type: fc.constant('http' as const),
      interval,
      path: fc.constantFrom('/', '/healthz', '/a?b=c'),
      expect: fc.constantFrom('200', '200-299', 204, [200, '300-399']),
      rise: fc.integer({ min: 1, max: 100 }),
    },
    { requiredKeys: ['type'] },
  ),
  fc.record({ type: fc.constant('dns' as const), name: fc.constant('example.org') }),
);

const forwarding = fc.constantFrom('nat' as const, 'full-nat' as const);

const pool = fc.record(
  {
    algorithm: fc.constantFrom('maglev' as const, 'random' as const, 'ip-hash' as const),
    description: text,
    members: fc.uniqueArray(
      fc.record(
        {
          address: fc.integer({ min: 1, max: 254 }).map((last) => `10.1.0.${last}`),
          port: fc.integer({ min: 1, max: 65535 }),
          weight: fc.integer({ min: 1, max: 256 }),
          state: fc.constantFrom('enabled' as const, 'draining' as const, 'disabled' as const),
          description: text,
        },
        { requiredKeys: ['address'] },
      ),
      { maxLength: 4, selector: (member) => member.address },
    ),
    monitor,
  },
  { requiredKeys: ['members'] },
);

export const anyDocument: fc.Arbitrary<Document> = fc
  .record({
    unit: fc.record({ name, description: text }, { requiredKeys: ['name'] }),
    pools: fc.dictionary(name, pool, { maxKeys: 4 }),
    services: fc.array(
      fc.record({
        name,
        forwarding,
        description: text,
        protocol: fc.constantFrom('tcp' as const, 'udp' as const),
      }),
      { maxLength: 5 },
    ),
    pick: fc.nat(),
  })
  .map(({ unit, pools, services, pick }) => {
    const names = Object.keys(pools);
    const document: Document = { version: 1, unit };
    if (names.length === 0) return document;
    document.pools = pools;
    document.services = Object.fromEntries(
      services.map((service, index) => [
        service.name,
        {
          description: service.description,
          listen: { address: `10.0.0.${index + 1}`, port: 80 + index, protocol: service.protocol },
          forwarding: service.forwarding,
          pool: names[(pick + index) % names.length] ?? '',
        },
      ]),
    );
    return document;
  });
