/** What a member and a client get of a head: nothing of the other hop, one Host, one framing. */
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { editFault, Edits } from '../../../../appliance/l7/http1/edits.js';
import { idFormatFault } from '../../../../appliance/l7/http1/request-id.js';
import { forwarded, parsed, returned } from '../../../support/http1-rewrite.js';

const test = suite('http1 rewrite');
const get = (...fields: string[]): string =>
  ['GET /a?b HTTP/1.1', 'Host: a.example', ...fields, '', ''].join('\r\n');
const linesOf = (text: string): string[] => text.slice(0, -4).split('\r\n');

test('forwards what is end to end as it is, in its order', () => {
  assert.is(
    forwarded(get('Accept:  x ', 'X-A: 1', 'X-B: 2')),
    'GET /a?b HTTP/1.1\r\nHost: a.example\r\nAccept:  x \r\nX-A: 1\r\nX-B: 2\r\n\r\n',
  );
});

test('leaves behind what belongs to the hop of the client', () => {
  const text = get(
    'Connection: X-A, keep-alive',
    'X-A: 1',
    'Keep-Alive: 5',
    'X-B: 2',
    'TE: trailers',
  );
  assert.equal(linesOf(forwarded(text)), ['GET /a?b HTTP/1.1', 'Host: a.example', 'X-B: 2']);
});

test('turns absolute form into origin form with the Host of the target', () => {
  const lines = (target: string, method = 'GET'): string[] =>
    linesOf(forwarded(`${method} ${target} HTTP/1.1\r\nHost: other.example\r\n\r\n`));
  assert.equal(lines('http://b.example:81/x?y'), ['GET /x?y HTTP/1.1', 'Host: b.example:81']);
  assert.equal(lines('http://b.example'), ['GET / HTTP/1.1', 'Host: b.example']);
  assert.equal(lines('http://b.example?y'), ['GET /?y HTTP/1.1', 'Host: b.example']);
  assert.equal(lines('http://b.example', 'OPTIONS'), ['OPTIONS * HTTP/1.1', 'Host: b.example']);
});

test('speaks HTTP/1.1 to members for clients of HTTP/1.0, and gives them a Host', () => {
  assert.equal(linesOf(forwarded('GET / HTTP/1.0\r\n\r\n', { fallbackHost: 'shop.example' })), [
    'GET / HTTP/1.1',
    'Host: shop.example',
  ]);
});

test('an expectation of HTTP/1.0 means nothing, and would mean something to the member', () => {
  const text =
    'POST / HTTP/1.0\r\nHost: a\r\nExpect: 100-continue\r\nContent-Length: 1\r\nEXPECT: x\r\n\r\n';
  assert.equal(linesOf(forwarded(text)), ['POST / HTTP/1.1', 'Host: a', 'Content-Length: 1']);
});

test('writes the framing itself', () => {
  const post = (field: string): string => `POST / HTTP/1.1\r\nHost: a\r\n${field}\r\n\r\n`;
  assert.equal(linesOf(forwarded(post('Content-Length: 0007'))).slice(2), ['Content-Length: 7']);
  assert.equal(linesOf(forwarded(post('Content-Length: 0'))).slice(2), ['Content-Length: 0']);
  assert.equal(linesOf(forwarded(post('transfer-encoding: CHUNKED'))).slice(2), [
    'Transfer-Encoding: chunked',
  ]);
});

test('appends to X-Forwarded-For, replaces it, keeps it or takes it away', () => {
  const text = get('X-Forwarded-For: 198.51.100.1', 'X-A: 1', 'X-Forwarded-For: 198.51.100.2');
  const seen = (how: 'append' | 'set' | 'keep' | 'remove'): string[] =>
    linesOf(forwarded(text, { forwardedFor: how })).filter((line) => line.startsWith('X-F'));
  assert.equal(seen('append'), ['X-Forwarded-For: 198.51.100.1, 198.51.100.2, 192.0.2.1']);
  assert.equal(seen('set'), ['X-Forwarded-For: 192.0.2.1']);
  assert.equal(seen('keep').length, 2);
  assert.equal(seen('remove'), []);
});

test('does not trust a client with X-Forwarded-Proto, -Host and -Port', () => {
  const text = get('X-Forwarded-Proto: ftp', 'X-Forwarded-Host: evil', 'X-Forwarded-Port: 1');
  assert.equal(linesOf(forwarded(text, { forwardedOthers: 'set' })).slice(2), [
    'X-Forwarded-Proto: https',
    'X-Forwarded-Host: a.example',
    'X-Forwarded-Port: 443',
  ]);
});

test('Connection cannot take away what Weir writes', () => {
  const text = get('Connection: X-Forwarded-For', 'X-Forwarded-For: 198.51.100.1');
  assert.equal(linesOf(forwarded(text, { forwardedFor: 'append' })).slice(2), [
    'X-Forwarded-For: 192.0.2.1',
  ]);
});

test('writes Forwarded, with IPv6 in quotes and brackets', () => {
  const text = get('Forwarded: for=198.51.100.1');
  assert.equal(linesOf(forwarded(text, { forwarded: 'append' }, '2001:db8::1')).slice(2), [
    'Forwarded: for=198.51.100.1',
    'Forwarded: for="[2001:db8::1]";proto=https;host="a.example"',
  ]);
  assert.equal(linesOf(forwarded(text, { forwarded: 'set' })).slice(2), [
    'Forwarded: for=192.0.2.1;proto=https;host="a.example"',
  ]);
});

test('drops a Forwarded whose quote stays open, which would swallow the next element', () => {
  for (const value of ['for="evil', 'for="a\\"', 'for="a";by="b\\\\\\"']) {
    const seen = forwarded(get(`Forwarded: ${value}`), { forwarded: 'append' });
    assert.not.match(seen, 'evil');
    assert.is(linesOf(seen).length, 3, value);
  }
});

test('adds Via after those of others', () => {
  assert.equal(linesOf(forwarded(get('Via: 1.1 first'), { via: 'weir' })).slice(2), [
    'Via: 1.1 first',
    'Via: 1.1 weir',
  ]);
});

test('gives a request an id, and keeps one of the client only when asked and plain', () => {
  const seen = (client: 'keep' | 'replace', ...fields: string[]): string[] =>
    linesOf(forwarded(get(...fields), { requestId: { name: 'X-Request-Id', client } })).slice(2);
  assert.equal(seen('replace', 'X-Request-ID: theirs'), ['X-Request-Id: weir-a-3-1']);
  assert.equal(seen('keep', 'X-Request-ID: theirs'), ['X-Request-ID: theirs']);
  assert.equal(seen('keep', 'X-Request-ID: two', 'X-Request-ID: three'), ['X-Request-ID: two']);
  for (const value of ['', 'a b', 'a,b', '\xff', 'a'.repeat(129)]) {
    assert.equal(seen('keep', `X-Request-ID: ${value}`), ['X-Request-Id: weir-a-3-1'], value);
  }
});

test('says what is wrong with the format of an id', () => {
  assert.is(idFormatFault('{uuid}'), null);
  assert.is(idFormatFault('a-{time}.{random}'), null);
  for (const format of ['', 'constant', '{uid}', '{uuid', 'uuid}', '{uuid} ', '{uuid}\r\nX: y']) {
    assert.type(idFormatFault(format), 'string', format);
  }
});

test('passes on an Upgrade to WebSocket, and others only when allowed', () => {
  const socket = get(
    'Connection: Upgrade',
    'Upgrade: websocket',
    'Sec-WebSocket-Key: x',
    'Sec-WebSocket-Version: 13',
  );
  assert.match(forwarded(socket), 'Connection: Upgrade\r\nUpgrade: websocket\r\n');
  assert.not.match(forwarded(socket, { upgrade: 'none' }), 'Upgrade');
  const h2c = get('Connection: Upgrade, HTTP2-Settings', 'Upgrade: h2c', 'HTTP2-Settings: x');
  assert.equal(linesOf(forwarded(h2c)), ['GET /a?b HTTP/1.1', 'Host: a.example']);
  assert.match(forwarded(h2c, { upgrade: 'any' }), 'Connection: Upgrade\r\nUpgrade: h2c\r\n');
});

test('sets, adds and removes fields', () => {
  const edits = new Edits([
    { action: 'set', name: 'X-A', value: 'new' },
    { action: 'add', name: 'X-B', value: 'more' },
    { action: 'remove', name: 'X-C' },
    { action: 'set', name: 'Host', value: 'inner.example' },
  ]);
  const text = get('x-a: 1', 'X-B: 2', 'X-C: 3', 'X-A: 4', 'X_A: 5');
  assert.equal(linesOf(forwarded(text, { edits })), [
    'GET /a?b HTTP/1.1',
    'X-B: 2',
    'X_A: 5',
    'X-A: new',
    'X-B: more',
    'Host: inner.example',
  ]);
});

test('refuses edits that end a line or speak for the connection', () => {
  const fault = (name: string, value: string): string | null =>
    editFault({ action: 'set', name, value });
  assert.is(fault('X-A', 'ä tab\there'), null);
  for (const value of ['a\r\nX: y', 'a\nb', 'a\0b', '\x7f'])
    assert.type(fault('X', value), 'string');
  for (const name of ['', 'a b', 'a:', 'a\r\n', 'ä', 'İ', 'Content-Length', 'CONNECTION', 'TE']) {
    assert.type(fault(name, 'x'), 'string', name);
  }
  assert.throws(
    () => new Edits([{ action: 'set', name: 'X', value: 'a\r\nb' }]),
    /control character/,
  );
});

test('a later edit of a name stands above the earlier ones', () => {
  const edits = new Edits([
    { action: 'add', name: 'X-A', value: '1' },
    { action: 'set', name: 'x-a', value: '2' },
    { action: 'add', name: 'X-A', value: '3' },
    { action: 'set', name: 'X-B', value: '4' },
    { action: 'remove', name: 'X-B' },
  ]);
  assert.equal(linesOf(forwarded(get('X-A: 0'), { edits })).slice(2), ['x-a: 2', 'X-A: 3']);
});

test('there is always exactly one Host', () => {
  assert.type(editFault({ action: 'add', name: 'Host', value: 'b' }), 'string');
  assert.type(editFault({ action: 'remove', name: 'HOST' }), 'string');
});

test('refuses rules that cannot be written into a head', () => {
  const throws = (rules: Parameters<typeof forwarded>[1]): void =>
    assert.throws(
      () => forwarded(get(), rules),
      (error: unknown) => error instanceof RangeError,
    );
  throws({ via: 'a\r\nX: y' });
  throws({ via: '' });
  throws({ fallbackHost: 'a\r\nX: y' });
  throws({ requestId: { name: 'X\r\nY', client: 'keep' } });
  throws({ requestId: { name: 'Content-Length', client: 'keep' } });
});

test('writes nothing beyond its room', () => {
  const whole = forwarded(get('X-A: 1'), { forwardedFor: 'append', via: 'weir' });
  for (let room = 0; room < whole.length; room += 1) {
    const seen = forwarded(
      get('X-A: 1'),
      { forwardedFor: 'append', via: 'weir' },
      '192.0.2.1',
      room,
    );
    assert.is(seen, 'does not fit', `${room} bytes`);
  }
});

const ok = (...fields: string[]): string => ['HTTP/1.1 200 OK', ...fields, '', ''].join('\r\n');
const old = 'GET / HTTP/1.0\r\nConnection: keep-alive\r\n\r\n';

test('passes a response back without the fields of its hop', () => {
  const text = ok(
    'Connection: close, X-A',
    'X-A: 1',
    'Keep-Alive: x',
    'X-B: 2',
    'Content-Length: 05',
  );
  assert.equal(linesOf(returned(text)), ['HTTP/1.1 200 OK', 'X-B: 2', 'Content-Length: 5']);
});

test('frames what has no length for the client: chunked, or by closing for HTTP/1.0', () => {
  assert.equal(linesOf(returned(ok('X: y'))).slice(2), ['Transfer-Encoding: chunked']);
  assert.equal(linesOf(returned(ok('X: y'), old)).slice(2), ['Connection: close']);
  assert.equal(linesOf(returned(ok('Transfer-Encoding: chunked'), old)).slice(1), [
    'Connection: close',
  ]);
  assert.equal(linesOf(returned(ok('Content-Length: 5'), old)).slice(1), [
    'Content-Length: 5',
    'Connection: keep-alive',
  ]);
});

test('says close when the connection of the client ends', () => {
  const seen = returned(ok('Content-Length: 5'), undefined, undefined, false);
  assert.equal(linesOf(seen).slice(1), ['Content-Length: 5', 'Connection: close']);
});

test('gives 204 and interim answers no framing', () => {
  assert.equal(linesOf(returned('HTTP/1.1 204 No Content\r\nContent-Length: 0\r\n\r\n')), [
    'HTTP/1.1 204 No Content',
  ]);
  assert.equal(linesOf(returned('HTTP/1.1 103 Early Hints\r\nLink: x\r\n\r\n')), [
    'HTTP/1.1 103 Early Hints',
    'Link: x',
  ]);
});

test('keeps the length of an answer to HEAD', () => {
  const seen = returned(ok('Content-Length: 5'), 'HEAD / HTTP/1.1\r\nHost: a\r\n\r\n');
  assert.equal(linesOf(seen).slice(1), ['Content-Length: 5']);
});

test('passes a switch of protocols back', () => {
  const seen = returned(
    'HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Accept: x\r\n\r\n',
    get(
      'Connection: Upgrade',
      'Upgrade: websocket',
      'Sec-WebSocket-Key: x',
      'Sec-WebSocket-Version: 13',
    ),
  );
  assert.equal(linesOf(seen).slice(1), [
    'Sec-WebSocket-Accept: x',
    'Connection: Upgrade',
    'Upgrade: websocket',
  ]);
});

test('tells a client to what it has to upgrade', () => {
  const text = 'HTTP/1.1 426 Upgrade Required\r\nUpgrade: x/1\r\nContent-Length: 0\r\n\r\n';
  assert.equal(linesOf(returned(text)).slice(1), [
    'Content-Length: 0',
    'Connection: Upgrade',
    'Upgrade: x/1',
  ]);
});

test('counts Max-Forwards of TRACE and OPTIONS down, and of nothing else', () => {
  const seen = (name: string, value: string): string[] =>
    linesOf(forwarded(`${name} / HTTP/1.1\r\nHost: a\r\nMax-Forwards: ${value}\r\n\r\n`)).slice(2);
  assert.equal(seen('TRACE', '7'), ['Max-Forwards: 6']);
  assert.equal(seen('OPTIONS', '1'), ['Max-Forwards: 0']);
  assert.equal(seen('GET', '7'), ['Max-Forwards: 7']);
  assert.equal(seen('TRACE', 'x'), ['Max-Forwards: x']);
  assert.is(parsed('TRACE / HTTP/1.1\r\nHost: a\r\nMax-Forwards: 0\r\n\r\n').maxForwards, 0);
});

test('writes a reason that is not there as an empty one', () => {
  assert.is(linesOf(returned('HTTP/1.1 200\r\nContent-Length: 0\r\n\r\n'))[0], 'HTTP/1.1 200 ');
});

test.run();
