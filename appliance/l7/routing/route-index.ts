/**
 * Routes by host and path, built once for a snapshot: for each host, exact or wildcard, and for
 * those without one, a tree of path segments whose nodes list the routes that end there.
 *
 * Invariant: a route is in the lists of exactly those hosts and patterns that its conditions
 * name; lists are in the order of routes.
 */
import type { L7Conditions, L7Route } from '../tables.js';
import { NameTable } from './name-table.js';
import { HostPattern, parsePattern } from './patterns.js';

export class PathNode {
  /** By `*`. */
  star: PathNode | null = null;
  /** Routes whose pattern ends here, and those whose `**` begins here. */
  here = new Int32Array(0);
  deep = new Int32Array(0);

  constructor(readonly number: number) {}
}

export class HostGroup {
  /** Routes without a condition on the path, those with expressions, and those of connections. */
  any = new Int32Array(0);
  regex = new Int32Array(0);
  connections = new Int32Array(0);

  constructor(readonly root: PathNode) {}
}

const none: L7Conditions = {
  hosts: null,
  paths: null,
  methods: null,
  headers: [],
  query: [],
  cookies: [],
  sources: null,
};

/** Whether a connection without a request, by its host and source alone, can meet this. */
function isOfConnections(when: L7Conditions): boolean {
  return (
    when.paths === null &&
    when.methods === null &&
    [...when.headers, ...when.query, ...when.cookies].length === 0
  );
}

export class RouteIndex {
  readonly groups: readonly HostGroup[];
  /**
   * Numbers of groups by host, of owner 0 exact and owner 1 what follows "*."; hashed from the
   * last octet on, so all names above a host are found in one pass.
   */
  readonly hosts: NameTable;
  readonly hasWildcards: boolean;
  /** Group of the routes for any host. */
  readonly anyHost: HostGroup;
  /** Numbers of children in `children` by their parent's number and their segment. */
  readonly segments: NameTable;
  readonly children: readonly PathNode[];

  constructor(routes: readonly L7Route[]) {
    const tree = new TreeBuilder();
    this.anyHost = new HostGroup(tree.node());
    const groups = new Map<string, { group: HostGroup; pattern: HostPattern }>();
    for (const [number, route] of routes.entries()) {
      const when = route.when ?? none;
      if (when.hosts === null) addRoute(tree, this.anyHost, number, when);
      for (const text of new Set(when.hosts ?? [])) {
        const key = text.toLowerCase();
        let entry = groups.get(key);
        if (entry === undefined) {
          entry = { group: new HostGroup(tree.node()), pattern: new HostPattern(text) };
          groups.set(key, entry);
        }
        addRoute(tree, entry.group, number, when);
      }
    }
    const entries = [...groups.values()];
    this.groups = entries.map(({ group }) => group);
    this.hosts = new NameTable(
      entries.map(({ pattern }) => ({ owner: pattern.wildcard ? 1 : 0, name: pattern.name })),
      'backwards',
    );
    this.hasWildcards = entries.some(({ pattern }) => pattern.wildcard);
    this.children = tree.children.map(({ node }) => node);
    this.segments = new NameTable(tree.children, 'forwards');
  }
}

function addRoute(tree: TreeBuilder, group: HostGroup, number: number, when: L7Conditions): void {
  if (isOfConnections(when)) group.connections = appended(group.connections, number);
  if (when.paths === null) {
    group.any = appended(group.any, number);
    return;
  }
  for (const path of when.paths) {
    if (path.kind === 'regex') {
      group.regex = appended(group.regex, number);
      continue;
    }
    const pattern = parsePattern(path.value);
    const node = pattern.segments.reduce((at, segment) => tree.child(at, segment), group.root);
    if (pattern.deep) node.deep = appended(node.deep, number);
    else node.here = appended(node.here, number);
  }
}

function appended(list: Int32Array, number: number): Int32Array<ArrayBuffer> {
  return list.at(-1) === number ? Int32Array.from(list) : Int32Array.from([...list, number]);
}

class TreeBuilder {
  readonly children: { owner: number; name: Uint8Array; node: PathNode }[] = [];
  private readonly known = new Map<string, PathNode>();
  private count = 0;

  node(): PathNode {
    return new PathNode(this.count++);
  }

  child(of: PathNode, segment: Uint8Array | null): PathNode {
    if (segment === null) {
      of.star ??= this.node();
      return of.star;
    }
    const key = `${of.number}/${Buffer.from(segment).toString('latin1')}`;
    let node = this.known.get(key);
    if (node === undefined) {
      node = this.node();
      this.known.set(key, node);
      this.children.push({ owner: of.number, name: segment, node });
    }
    return node;
  }
}
