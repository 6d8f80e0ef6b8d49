/** Texts of clients' addresses: found again, and never those of another service's client. */
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { Endpoint } from '../../../../appliance/l7/endpoint.js';
import { PeerCache } from '../../../../appliance/l7/http/peer-cache.js';

const test = suite('HTTP: texts of addresses');

function client(last: number): Endpoint {
  const address = new Endpoint();
  address.set(Uint8Array.of(192, 0, 2, last), 0, 4, 50_000);
  return address;
}

test('a client that comes again gets the same text', () => {
  const cache = new PeerCache();
  const first = cache.of(client(1), 7, 443, 'https');
  assert.is(cache.of(client(1), 7, 443, 'https'), first);
  assert.equal([first.scheme, first.port], ['https', 443]);
});

test('one client of two services hears of each by its own scheme and port', () => {
  const cache = new PeerCache();
  cache.of(client(1), 7, 8080, 'http');
  assert.is(cache.of(client(1), 7, 8080, 'https').scheme, 'https', 'the same port, with TLS');
  assert.is(cache.of(client(1), 7, 8080, 'http').scheme, 'http', 'and without it again');
  assert.is(cache.of(client(1), 7, 443, 'http').port, 443);
});

test('two clients of one place are told apart', () => {
  const cache = new PeerCache();
  cache.of(client(1), 7, 80, 'http');
  const { address } = cache.of(client(2), 7, 80, 'http');
  assert.is(Buffer.from(address).toString(), '192.0.2.2');
});

test.run();
