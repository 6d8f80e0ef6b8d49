/**
 * The document that the wizard's answers make, on top of what the unit has; and which page an error of
 * it belongs to. Pure.
 */
import { parsePath, type Path } from '../../appliance/config/errors.js';
import type { JsonValue } from '../../appliance/config/canonical.js';
import { withValue } from '../config/draft.js';
import {
  isList,
  isMap,
  schemaAt,
  typedValue,
  valueAt,
  type JsonMap,
  type Node,
} from '../config/schema.js';
import type { Answered, PageName } from './wizard.js';

/** Which answers there are, by their keys in the document. */
export const KEYBOARD: Path = ['unit', 'keyboard'];
export const TIME_ZONE: Path = ['unit', 'time-zone'];
export const NETWORK: Path = ['unit', 'network'];

/** Whether the daemon's language has a key. */
export function knows(schema: Node | null, path: Path): boolean {
  return schema !== null && schemaAt(schema, {}, path) !== null;
}

export function wizardDocument(base: JsonMap, schema: Node | null, answers: Answered): JsonMap {
  let document = base;
  const put = (path: Path, value: JsonValue | undefined): void => {
    if (value !== undefined) document = withValue(document, path, value);
  };
  const typed = (path: Path, text: string): void => {
    const node = schema === null ? null : schemaAt(schema, document, path);
    put(path, typedValue(node ?? {}, text));
  };
  typed(['unit', 'name'], answers['unit'] ?? '');
  if (knows(schema, KEYBOARD)) typed(KEYBOARD, answers['keyboard'] ?? '');
  if (knows(schema, TIME_ZONE)) typed(TIME_ZONE, answers['time-zone'] ?? '');
  if (knows(schema, NETWORK)) document = withNetwork(document, answers);
  const { service = '' } = answers;
  if (joins(answers) || service === '') return document;
  const listen = ['services', service, 'listen'];
  const protocol = answers['protocol'] ?? '';
  put(['services', service], {});
  typed([...listen, 'address'], answers['address'] ?? '');
  typed([...listen, 'port'], answers['port'] ?? '');
  put([...listen, 'protocol'], protocol);
  if (protocol === 'tcp' || protocol === 'udp') {
    put(['services', service, 'forwarding'], answers['forwarding']);
  }
  if (protocol === 'https') {
    put(['services', service, 'tls'], { certificates: [service] });
    if (valueAt(document, ['certificates', service]) === undefined) {
      const names = [answers['host'] || (answers['address'] ?? '')];
      put(['certificates', service], { type: 'self-signed', names });
    }
  }
  put(['services', service, 'pool'], service);
  put(['pools', service], { members: membersOf(answers['members'] ?? '') });
  const monitor = answers['monitor'] ?? 'none';
  if (monitor !== 'none') {
    const at = ['pools', service, 'monitor'];
    put(at, { type: monitor });
    if (monitor === 'http') typed([...at, 'path'], answers['path'] ?? '');
    typed([...at, 'interval'], answers['interval'] ?? '');
  }
  return document;
}

/** The answer that has the addresses of an interface that the unit is not managed by. */
export const onInterface = (name: string): string => `${ON_INTERFACE}${name}`;
const ON_INTERFACE = 'addresses of ';

/** What the answers give each interface, by its name: words with blanks or commas between them. */
export function addressesOf(answers: Answered): readonly (readonly [string, readonly string[]])[] {
  const { interface: device = '' } = answers;
  const others = Object.keys(answers)
    .filter((name) => name.startsWith(ON_INTERFACE) && name !== onInterface(device))
    .map((name) => [name.slice(ON_INTERFACE.length), wordsOf(answers[name])] as const);
  const all = [[device, wordsOf(answers['addresses'])] as const, ...others];
  return all.filter(([name, addresses]) => name !== '' && addresses.length > 0);
}

const wordsOf = (text = ''): string[] => text.split(/[\s,]+/).filter(Boolean);

/** Addresses of interfaces, a default route and resolvers, each where something was typed. */
function withNetwork(base: JsonMap, answers: Answered): JsonMap {
  const servers = wordsOf(answers['dns']);
  const [via] = wordsOf(answers['gateway']);
  let document = base;
  for (const [name, addresses] of addressesOf(answers)) {
    document = withValue(document, [...NETWORK, 'interfaces', name, 'addresses'], [...addresses]);
  }
  if (via !== undefined) {
    const routes = valueAt(document, [...NETWORK, 'routes']);
    const others = isList(routes)
      ? routes.filter((one) => !isMap(one) || one['to'] !== 'default')
      : [];
    document = withValue(document, [...NETWORK, 'routes'], [...others, { to: 'default', via }]);
  }
  return servers.length === 0
    ? document
    : withValue(document, [...NETWORK, 'dns', 'servers'], servers);
}

export const NEW = 'set it up';
export const JOIN = 'join a unit';

/** Rather than be set up as a unit of its own. */
export function joins(answers: Answered): boolean {
  return answers['way'] === JOIN;
}

/** `10.0.1.11:8080`, `[2001:db8::1]:80`, or an address alone; the daemon judges what it is. */
export function membersOf(text: string): JsonMap[] {
  return wordsOf(text).map((word) => {
    const match = /^\[(.*)\](?::(.*))?$/.exec(word) ?? /^([^:]*):([^:]*)$/.exec(word);
    const address = match?.[1] ?? word;
    const port = match?.[2];
    if (port === undefined) return { address };
    return { address, port: /^\d{1,9}$/.test(port) ? Number(port) : port };
  });
}

/** The page whose answer is at a path; null: none is. */
export function pageOf(path: string): PageName | null {
  const [first, second, third, fourth] = parsePath(path) ?? [];
  if (first === 'unit') {
    if (second === 'name') return 'name';
    if (second === 'network') return 'management';
    return second === 'keyboard' || second === 'time-zone' ? 'locale' : null;
  }
  if (first === 'certificates') return 'protocol';
  if (first === 'services') {
    if (third === undefined) return 'service';
    if (third === 'listen') return fourth === 'protocol' ? 'protocol' : 'listen';
    return third === 'pool' ? 'members' : 'protocol';
  }
  if (first !== 'pools') return null;
  if (third === undefined) return 'service';
  return third === 'monitor' ? 'monitor' : 'members';
}
