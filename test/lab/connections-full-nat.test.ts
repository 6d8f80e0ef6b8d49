/** Connections by full-nat, in both families, while members come and go (connections.ts). */
import { connectionsThrough } from './connections.js';

connectionsThrough('full-nat');
