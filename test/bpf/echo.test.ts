/**
 * Echo requests for service addresses are answered in place, all other ICMP is the kernel's.
 * Run with BPF_PROG_TEST_RUN.
 */
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { lacking, needs } from '../support/needs.js';
import { Datapath } from './datapath.js';
import { addressBytes, clientMac, echo, mappedBytes, unitMac, type EchoSpec } from './packets.js';
import { combinations, expectDrop, expectPass, expectSent, Scene, type Family } from './scene.js';

const test = suite('bpf echo');
let path: Datapath;
test.before(() => {
  path = Datapath.open();
});
test.after(() => {
  // Runs even when every test is skipped and nothing was opened.
  if (lacking('bpf') === null) path.close();
});

for (const family of ['ipv4', 'ipv6'] as const satisfies readonly Family[]) {
  const combination = combinations.find((one) => one.family === family);
  if (combination === undefined) throw new Error(`no combination of ${family}`);
  const at = (what: string, check: (request: EchoSpec, scene: Scene) => void): void => {
    needs.bpf(test)(`${family}: ${what}`, () => {
      const scene = new Scene(path, combination);
      const { client, service } = scene.addresses;
      check({ source: client, destination: service }, scene);
    });
  };
  const answer = (request: EchoSpec): EchoSpec => ({
    ...request,
    kind: 'reply',
    source: request.destination,
    destination: request.source,
    fromMac: unitMac,
    toMac: clientMac,
    ttl: 64,
  });

  at('a request is answered', (request) => {
    expectSent(path, echo(request), echo(answer(request)));
    assert.equal(path.totals(), { passed: 0, echoReplies: 1, eventsLost: 0, errorsSent: 0 });
  });

  at('payloads of every small and some large size', (request) => {
    const sizes = [...Array.from({ length: 32 }, (_, size) => size), 56, 1000, 1452];
    for (const size of sizes) {
      const payload = Uint8Array.from({ length: size }, (_, index) => (index * 251) & 0xff);
      const one = { ...request, payload };
      expectSent(path, echo(one), echo(answer(one)));
    }
  });

  at('any TTL is answered with 64', (request) => {
    for (const ttl of [0, 1, 64, 255]) {
      const one = { ...request, ttl };
      expectSent(path, echo(one), echo(answer(one)));
    }
  });

  at('another address passes', (request, scene) => {
    expectPass(path, echo({ ...request, destination: scene.addresses.other }));
  });

  at('an address whose flags leave echo out passes', (request) => {
    path.map('addresses').update(mappedBytes(request.destination), new Uint8Array(4));
    expectPass(path, echo(request));
  });

  at('a reply passes', (request) => {
    expectPass(path, echo({ ...request, kind: 'reply' }));
  });

  at('another type passes', (request) => {
    expectPass(path, echo({ ...request, kind: 'other' }));
  });

  at('a code other than 0 passes', (request) => {
    expectPass(path, echo({ ...request, code: 1 }));
  });

  at('a request to a group MAC address passes', (request) => {
    expectPass(path, echo({ ...request, toMac: '33:33:00:00:00:01' }));
  });

  at('a request cut short passes', (request) => {
    const header = addressBytes(request.source).length === 4 ? 34 : 54;
    const bytes = echo({ ...request, payload: new Uint8Array(0) });
    const short = Buffer.from(bytes.subarray(0, header + 4));
    if (family === 'ipv6') short.writeUInt16BE(4, 18);
    // IPv4 then contradicts itself, and the address is a service's.
    if (family === 'ipv6') expectPass(path, short);
    else expectDrop(path, short, 'MALFORMED');
  });

  if (family === 'ipv4') {
    at('a request with options passes', (request) => {
      expectPass(path, echo({ ...request, ipOptions: 4 }));
    });

    at('a fragment passes', (request) => {
      expectPass(path, echo({ ...request, fragment: 0x2000 }));
      expectPass(path, echo({ ...request, fragment: 0x0010 }));
    });
  }

  at('a request with a wrong checksum gets an answer with a wrong one', (request) => {
    const bytes = echo(request);
    const at = (family === 'ipv4' ? 34 : 54) + 8;
    bytes[at] = (bytes[at] ?? 0) ^ 0x40;
    const expected = echo(answer(request));
    expected[at] = (expected[at] ?? 0) ^ 0x40;
    assert.equal(Buffer.from(path.run(bytes).data), expected);
  });
}

test.run();
