/** What `startManager()` needs once its process has been spawned: loaded while that one starts, and not before. */
export { newAuthKey } from '../protocol/handshake.ts';
export { connectTo } from '../proxy/connect.ts';
export { prepareNodeIpc } from '../transport/node-ipc.ts';
