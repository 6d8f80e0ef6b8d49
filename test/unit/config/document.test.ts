/** Text to document and back; places of errors; what the first build refuses. */
import * as fc from 'fast-check';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { toJson } from '../../../appliance/config/canonical.js';
import {
  checkDocument,
  parseText,
  placeErrors,
  toYaml,
} from '../../../appliance/config/document.js';
import { formatConfigError } from '../../../appliance/config/errors.js';
import type { Document } from '../../../appliance/config/schema.js';
import { firstSliceCapabilities, unsupported } from '../../../appliance/config/support.js';
import { maximumBytes } from '../../../appliance/config/yaml-reader.js';
import { projectRoot } from '../../../appliance/paths.js';
import { anyDocument } from './documents.js';

const documents = suite('documents');

function read(text: string): Extract<ReturnType<typeof parseText>, { ok: true }> {
  const result = parseText(text);
  if (!result.ok) throw new Error(result.errors.map(formatConfigError).join('\n'));
  return result;
}

documents('the example is complete, and the first build can execute all of it', () => {
  const text = readFileSync(join(projectRoot, 'appliance/config/example.yaml'), 'utf8');
  const { intent, warnings } = read(text);
  assert.equal(warnings, []);
  assert.equal(unsupported(intent, firstSliceCapabilities), []);
  assert.equal(intent.unit.interfaces, ['eth0', 'eth1']);
  assert.equal(Object.keys(intent.services), ['web', 'web6', 'files', 'dns', 'web-udp', 'shop']);
  for (const [name, pool] of Object.entries(intent.pools)) {
    assert.is(pool.algorithm, name === 'shop' ? 'weighted-least-connections' : 'maglev');
    assert.equal(
      pool.members.map((member) => member.weight),
      [3, 2, 1],
    );
    const { interval, timeout, rise, fall } = pool.monitor ?? {};
    assert.equal(
      { interval, timeout, rise, fall },
      { interval: 500, timeout: 400, rise: 2, fall: 3 },
    );
  }
  assert.equal(
    Object.values(intent.services).map((service) => service.forwarding),
    ['nat', 'nat', 'dsr', 'dsr', 'nat', undefined],
  );
});

documents('parseText(toYaml(document)) is the same document', () => {
  let accepted = 0;
  fc.assert(
    fc.property(anyDocument, (document) => {
      const first = checkDocument(document);
      if (!first.ok) return;
      accepted += 1;
      const yaml = toYaml(first.document);
      const again = read(yaml);
      assert.equal(again.document, toJson(document), yaml);
      assert.equal(again.intent, first.intent);
      assert.is(toYaml(again.document), yaml, 'and its text is stable');
    }),
    { numRuns: 300, seed: 20_26 },
  );
  assert.ok(accepted >= 250, `nearly all generated documents are valid, seen ${accepted} of 300`);
});

documents('every error of broken JSON has a path and a sentence', () => {
  fc.assert(
    fc.property(fc.jsonValue(), anyDocument, fc.nat(), (junk, document, pick) => {
      const broken = breakSomewhere(toJson(document), pick, junk);
      const result = checkDocument(broken);
      if (result.ok) return;
      assert.ok(result.errors.length > 0);
      for (const error of result.errors) {
        assert.ok(error.message.length > 8, formatConfigError(error));
        assert.not.match(error.message, /undefined|\[object/, formatConfigError(error));
        assert.is(error.line, undefined);
      }
    }),
    { numRuns: 500, seed: 7 },
  );
});

/** Replaces the n-th value of a document by something else. */
function breakSomewhere(value: unknown, pick: number, junk: unknown): unknown {
  const places: { holder: Record<string, unknown>; key: string }[] = [];
  const walk = (item: unknown): void => {
    if (typeof item !== 'object' || item === null) return;
    const holder = item as Record<string, unknown>;
    for (const key of Object.keys(holder)) {
      places.push({ holder, key });
      walk(holder[key]);
    }
  };
  walk(value);
  const place = places[pick % Math.max(1, places.length)];
  if (place !== undefined) place.holder[place.key] = junk;
  return value;
}

documents('values that are no JSON are errors, not exceptions', () => {
  for (const value of [
    undefined,
    () => 1,
    1n,
    NaN,
    new Date(0),
    { version: 1, unit: { name: Symbol('x') } },
    null,
    5,
    'x',
    [],
  ]) {
    const result = checkDocument(value);
    assert.not.ok(result.ok, `${String(typeof value)} must be refused`);
  }
});

documents('a document over the bound is refused before it is parsed', () => {
  const result = parseText(`# ${'x'.repeat(maximumBytes)}\n`);
  assert.not.ok(result.ok);
  if (!result.ok) assert.is(result.errors[0]?.code, 'too-large');
});

documents('errors that know only their path find their line', () => {
  const text = [
    'version: 1',
    'pools:',
    '  web:',
    '    algorithm: random',
    '    members: []',
    'unit:',
    '  name: a',
    'telemetry: { history: 1h }',
    'services:',
    '  web:',
    '    listen: { address: 10.0.0.1, port: 443, protocol: https }',
    '    certificates: [shop.example]',
    '    pool: web',
    '',
  ].join('\n');
  const errors = placeErrors(text, unsupported(read(text).intent, firstSliceCapabilities), {
    file: 'f.yaml',
  });
  assert.equal(errors.map(formatConfigError), [
    'f.yaml:8:12: telemetry: this build does not have telemetry settings yet; remove this part',
  ]);
});

documents('a parse of text names its file in errors and warnings', () => {
  const result = parseText('version: 2\n', { file: 'x.yaml' });
  assert.not.ok(result.ok);
  if (!result.ok)
    assert.ok(result.errors.every((error) => error.file === 'x.yaml' && error.line === 1));
  const warned = parseText('version: 1\nunit: { name: a }\npools: { p: { members: [] } }\n', {
    file: 'x.yaml',
  });
  assert.ok(warned.ok);
  if (warned.ok) {
    assert.equal(warned.warnings.map(formatConfigError), [
      'x.yaml:3:13: pools.p: no service uses this pool: nothing is sent to its members',
    ]);
  }
});

documents('an algorithm that a build lacks is refused by name', () => {
  const text = 'version: 1\nunit: { name: a }\npools: { p: { algorithm: random, members: [] } }\n';
  const lacking = { ...firstSliceCapabilities, algorithms: ['maglev'] } as const;
  assert.equal(unsupported(read(text).intent, lacking).map(formatConfigError), [
    'pools.p.algorithm: this build does not have the algorithm "random" yet; use maglev',
  ]);
});

documents('a capability that is there is not refused', () => {
  const text = `version: 1
unit: { name: a }
pools: { p: { members: [{ address: 10.0.1.1 }] } }
services: { s: { listen: { address: 10.0.0.1, port: 80, protocol: http }, pool: p, persistence: { type: cookie } } }
`;
  const { intent } = read(text);
  assert.equal(unsupported(intent, firstSliceCapabilities), []);
  const less = { ...firstSliceCapabilities, l7: false };
  assert.equal(unsupported(intent, less).map(formatConfigError), [
    'services.s.listen.protocol: "http" needs the layer-7 tier, which this build does not have yet; use tcp or udp, or remove the service',
  ]);
});

documents(
  'a build that cannot end TLS refuses all that asks for it, and still passes it through',
  () => {
    const text = `version: 1
unit: { name: a }
pools:
  p: { members: [{ address: 10.0.1.1 }] }
  q: { members: [{ address: 10.0.1.2 }], tls: {} }
services:
  https: { listen: { address: 10.0.0.1, port: 1, protocol: https }, certificates: [c], pool: p, tls: {} }
  ended: { listen: { address: 10.0.0.1, port: 2, protocol: tls }, certificates: [c], pool: p, tls: {} }
  passed: { listen: { address: 10.0.0.1, port: 3, protocol: tls }, pool: p }
  towards: { listen: { address: 10.0.0.1, port: 4, protocol: http }, pool: q }
`;
    const { intent } = read(text);
    assert.equal(unsupported(intent, firstSliceCapabilities), []);
    const less = { ...firstSliceCapabilities, termination: false };
    assert.equal(unsupported(intent, less).map(formatConfigError), [
      'pools.q.tls: this build does not have TLS towards members yet; remove this part',
      'services.https.listen.protocol: "https" needs TLS in the layer-7 tier, which this build does not have yet; use tcp, udp, http or tls, or remove the service',
      'services.ended.certificates: this build does not end TLS yet; remove them, and tls is passed through to the members',
      'services.ended.tls: this build does not end TLS yet; remove it',
    ]);
  },
);

documents('a thousand services and ten thousand members are checked', () => {
  const document: Document = { version: 1, unit: { name: 'a' }, pools: {}, services: {} };
  for (let pool = 0; pool < 1_000; pool++) {
    const octets = `${pool >> 8}.${pool & 255}`;
    document.pools = Object.assign(document.pools ?? {}, {
      [`p${pool}`]: {
        members: Array.from({ length: 10 }, (_, index) => ({
          address: `10.${octets}.${index + 1}`,
          port: 80,
        })),
      },
    });
    document.services = Object.assign(document.services ?? {}, {
      [`s${pool}`]: {
        listen: { address: `172.${octets.replace(/^/, '')}.1`, port: 80, protocol: 'tcp' },
        pool: `p${pool}`,
      },
    });
  }
  const result = checkDocument(document);
  assert.ok(
    result.ok,
    result.ok ? '' : result.errors.slice(0, 3).map(formatConfigError).join('\n'),
  );
  if (result.ok) assert.is(Object.keys(result.intent.services).length, 1_000);
});

documents.run();
